import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fullJitterMs } from "../../src/core/backoff.ts";

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("fullJitterMs", () => {
  test("is between 0 and the doubled base, and never past the cap", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100_000 }),
        fc.nat({ max: 10_000 }),
        fc.nat({ max: 1_000_000 }),
        chance,
        (failures, baseMs, maxMs, random) => {
          const wait = fullJitterMs({ failures, baseMs, maxMs, random });
          expect(Number.isSafeInteger(wait)).toBe(true);
          expect(wait).toBeGreaterThanOrEqual(0);
          expect(wait).toBeLessThanOrEqual(maxMs);
          if (failures < 30) expect(wait).toBeLessThanOrEqual(baseMs * 2 ** (failures - 1));
        },
      ),
    );
  });

  test("doubles its ceiling with each failure, from the base up to the cap", () => {
    const ceilings = [1, 2, 3, 4, 5, 6].map((failures) =>
      Math.ceil(fullJitterMs({ failures, baseMs: 1000, maxMs: 10_000, random: 1 - 2 ** -53 }) / 10),
    );
    expect(ceilings).toEqual([100, 200, 400, 800, 1000, 1000]);
  });

  test("goes down to no wait at all", () => {
    expect(fullJitterMs({ failures: 9, baseMs: 1000, maxMs: 60_000, random: 0 })).toBe(0);
  });
});
