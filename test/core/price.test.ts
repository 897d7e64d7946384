import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { costOf, dollarsOf, nanosOf } from "../../src/core/price.ts";

describe("nanosOf", () => {
  it.each([
    [0, 0],
    [1, 1_000_000_000],
    [0.15, 150_000_000],
    [0.075, 75_000_000],
    [0.0375, 37_500_000],
    [12.5, 12_500_000_000],
    [1e-9, 1],
    [1.5e-7, 150],
    [1e-10, 0],
    [1.23456789e-3, 1_234_567],
    [1e6, 1_000_000_000_000_000],
  ])("%d dollars are %d", (dollars, nanos) => {
    expect(nanosOf(dollars)).toBe(nanos);
  });

  it("cuts off what is less than a nano-dollar, so that a budget is never rounded up", () => {
    expect(nanosOf(0.1 + 0.2)).toBe(300_000_000);
    expect(nanosOf(0.9999999999)).toBe(999_999_999);
  });

  it.each([-1, -1e-9, Number.NaN, Number.POSITIVE_INFINITY, 1_000_000.1])(
    "refuses %d",
    (dollars) => {
      expect(nanosOf(dollars)).toBeUndefined();
    },
  );

  test("every amount to the nano-dollar comes back as it was", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1_000_000_000_000_000 }), (nanos) => {
        expect(nanosOf(dollarsOf(nanos))).toBe(nanos);
      }),
    );
  });
});

describe("costOf", () => {
  const price = { input: 150_000_000, cachedInput: 75_000_000, output: 600_000_000 };
  const used = (input_tokens: number, cached_tokens: number, output_tokens: number) => ({
    input_tokens,
    cached_tokens,
    output_tokens,
  });

  it("is a price list's arithmetic: $0.15 and $0.60 a million", () => {
    expect(costOf(price, used(1_000_000, 0, 0))).toBe(nanosOf(0.15));
    expect(costOf(price, used(0, 0, 1_000_000))).toBe(nanosOf(0.6));
    expect(costOf(price, used(1_000, 0, 500))).toBe(150 * 1_000 + 600 * 500);
  });

  it("takes the cached part of the input at its own price", () => {
    expect(costOf(price, used(1_000, 400, 0))).toBe(150 * 600 + 75 * 400);
    expect(costOf(price, used(10, 400, 0))).toBe(75 * 10);
  });

  it("rounds up to a whole nano-dollar", () => {
    expect(costOf({ input: 37_500, cachedInput: 0, output: 0 }, used(1, 0, 0))).toBe(1);
    expect(costOf({ input: 37_500, cachedInput: 0, output: 0 }, used(0, 0, 9))).toBe(0);
  });

  test("is exact past 2^53, and never less for more tokens", () => {
    const large = fc.integer({ min: 0, max: 1_000_000_000 });
    const each = fc.integer({ min: 0, max: 1_000_000_000_000 });
    fc.assert(
      fc.property(large, large, each, each, (input, output, inputPrice, outputPrice) => {
        const of = { input: inputPrice, cachedInput: inputPrice, output: outputPrice };
        const exact = BigInt(input) * BigInt(inputPrice) + BigInt(output) * BigInt(outputPrice);
        const cost = costOf(of, used(input, 0, output));
        expect(BigInt(cost) * 1_000_000n >= exact).toBe(true);
        expect((BigInt(cost) - 1n) * 1_000_000n < exact).toBe(true);
        expect(costOf(of, used(input + 1, 0, output))).toBeGreaterThanOrEqual(cost);
      }),
    );
  });
});
