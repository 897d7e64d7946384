import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { binOf, msOf, percentile } from "../../src/core/latency-bins.ts";

/** Latencies in bins, as a timeline has them. */
function binned(latencies: readonly number[]): Map<number, number> {
  const bins = new Map<number, number>();
  for (const ms of latencies) bins.set(binOf(ms), (bins.get(binOf(ms)) ?? 0) + 1);
  return bins;
}

describe("latency bins", () => {
  test("stand for a latency within 9.1 % of every one in them", () => {
    fc.assert(
      fc.property(fc.double({ min: 1, max: 600_000, noNaN: true }), (ms) => {
        expect(Math.abs(msOf(binOf(ms)) / ms - 1)).toBeLessThan(0.091);
      }),
    );
  });

  test("give the percentile of the latencies themselves, within 9.1 %", () => {
    const latencies = fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1 });
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(latencies, share, (all, part) => {
        const sorted = all.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(part * all.length)) - 1] ?? Number.NaN;
        const read = percentile(binned(all), part) ?? Number.NaN;
        expect(Math.abs(read / exact - 1)).toBeLessThan(0.091);
      }),
    );
  });

  test("take what took no time for a millisecond", () => {
    expect(msOf(binOf(0))).toBe(1);
  });

  test("have no percentile without a call", () => {
    expect(percentile([], 0.5)).toBeUndefined();
  });
});
