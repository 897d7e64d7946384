import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nextDeliveryDelayMs } from "../../src/webhooks/schedule.ts";

const ATTEMPTS = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const STEPS_S = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];

describe("nextDeliveryDelayMs", () => {
  test("follows the steps of Standard Webhooks", () => {
    const delays = ATTEMPTS.map((attempt) => nextDeliveryDelayMs({ attempt, random: 0.5 }));
    expect(delays).toEqual(STEPS_S.map((seconds) => seconds * 1000));
  });

  test("varies each step by a fifth and no more", () => {
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(fc.constantFrom(...ATTEMPTS), chance, (attempt, random) => {
        const ratio =
          (nextDeliveryDelayMs({ attempt, random }) ?? 0) / ((STEPS_S[attempt - 1] ?? 0) * 1000);
        expect(ratio).toBeGreaterThanOrEqual(0.8);
        expect(ratio).toBeLessThanOrEqual(1.2);
      }),
    );
    expect(nextDeliveryDelayMs({ attempt: 1, random: 0 })).toBe(4000);
    expect(nextDeliveryDelayMs({ attempt: 1, random: 1 - 2 ** -53 })).toBe(6000);
  });

  test("gives up after the tenth attempt", () => {
    expect(nextDeliveryDelayMs({ attempt: 10, random: 0.5 })).toBeUndefined();
    expect(nextDeliveryDelayMs({ attempt: 11, random: 0.5, retryAfterMs: 1 })).toBeUndefined();
  });

  test("obeys a retry-after that is longer than the step, and only that", () => {
    expect(nextDeliveryDelayMs({ attempt: 1, random: 0.5, retryAfterMs: 60_000 })).toBe(60_000);
    expect(nextDeliveryDelayMs({ attempt: 2, random: 0.5, retryAfterMs: 60_000 })).toBe(300_000);
  });
});
