import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nextStep, type Past, type RetryRules } from "../../src/core/task.ts";

const NOW_MS = Date.UTC(2026, 10, 22);
const RULES: RetryRules = { maxAttempts: 4, baseMs: 1000, maxMs: 3000 };

/** A task that failed so often, and was throttled so often. */
const past = (failures: number, throttles = 0): Past => ({ failures, throttles });

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

/** How long a task waits after one more 429. */
function ownWaitMs(throttles: number, random: number, afterMs?: number): number {
  const verdict = { kind: "throttled" as const, afterMs };
  const step = nextStep(verdict, past(0, throttles), RULES, NOW_MS, random);
  if (step.state !== "pending") throw new Error("a 429 is not final");
  return step.notBeforeMs - NOW_MS;
}

describe("nextStep", () => {
  test("of a success and of a final failure is final, whatever failed before", () => {
    for (const failures of [0, 3, 99]) {
      expect(nextStep({ kind: "succeeded" }, past(failures), RULES, NOW_MS, 0)).toEqual({
        state: "succeeded",
      });
      expect(nextStep({ kind: "failed" }, past(failures), RULES, NOW_MS, 0)).toEqual({
        state: "failed",
      });
    }
  });

  test("of a throttled attempt waits as long as the upstream said and counts no failure", () => {
    expect(nextStep({ kind: "throttled", afterMs: 90_000 }, past(3), RULES, NOW_MS, 0.9)).toEqual({
      state: "pending",
      failures: 3,
      notBeforeMs: NOW_MS + 90_000,
    });
  });

  test("of a throttled attempt without a time leaves the wait to the upstream's cooldown", () => {
    expect(nextStep({ kind: "throttled" }, past(0), RULES, NOW_MS, 0.9)).toEqual({
      state: "pending",
      failures: 0,
      notBeforeMs: NOW_MS,
    });
  });

  test("never fails a task for being throttled, however often, and counts none as a failure", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), chance, (failures, throttles, random) => {
        const before = past(failures, throttles);
        const step = nextStep({ kind: "throttled" }, before, RULES, NOW_MS, random);
        expect(step).toMatchObject({ state: "pending", failures });
      }),
    );
  });

  test("of the first three 429s of a task leaves the wait to the upstream, whatever the chance", () => {
    expect([0, 1, 2].map((throttles) => ownWaitMs(throttles, 0.999))).toEqual([0, 0, 0]);
  });

  test("of more 429s waits by itself, up to a second that doubles, and an hour at most", () => {
    expect([3, 4, 5, 6].map((throttles) => ownWaitMs(throttles, 0.5))).toEqual([
      500, 1_000, 2_000, 4_000,
    ]);
    for (const throttles of [15, 16, 100, 5_000, Number.MAX_SAFE_INTEGER]) {
      expect(ownWaitMs(throttles, 0.5)).toBe(1_800_000);
    }
    expect(ownWaitMs(14, 0.5)).toBeLessThan(1_800_000);
    expect(ownWaitMs(50, 0.999_999_999)).toBeLessThanOrEqual(3_600_000);
  });

  test("of more 429s spreads the own waits, so that tasks throttled together part", () => {
    expect(ownWaitMs(6, 0)).toBe(0);
    expect(ownWaitMs(6, 0.25)).toBe(2_000);
    expect(ownWaitMs(6, 0.75)).toBe(6_000);
  });

  test("of more 429s waits as long as the upstream said when that is longer, and its own time else", () => {
    const wait = (afterMs: number) => ownWaitMs(6, 0.5, afterMs);
    expect([wait(1), wait(3_999), wait(4_001), wait(90_000)]).toEqual([4000, 4000, 4001, 90_000]);
  });

  test("does not let 429s make the wait after a failure longer", () => {
    expect(nextStep({ kind: "retry" }, past(0, 40), RULES, NOW_MS, 0.5)).toEqual({
      state: "pending",
      failures: 1,
      notBeforeMs: NOW_MS + 500,
    });
  });

  test.each(["retry", "throttled"] as const)(
    "of a %s waits thirty days at most, whatever the upstream said",
    (kind) => {
      for (const afterMs of [30 * 86_400_000 + 1, 1e15, Number.POSITIVE_INFINITY]) {
        expect(nextStep({ kind, afterMs }, past(0), RULES, NOW_MS, 0.5)).toMatchObject({
          notBeforeMs: NOW_MS + 30 * 86_400_000,
        });
      }
      expect(nextStep({ kind, afterMs: 29.5 * 86_400_000 }, past(0), RULES, NOW_MS, 0)).toEqual(
        expect.objectContaining({ notBeforeMs: NOW_MS + 29.5 * 86_400_000 }),
      );
    },
  );

  test("of a failed attempt counts it", () => {
    expect(nextStep({ kind: "retry" }, past(0), RULES, NOW_MS, 0)).toMatchObject({ failures: 1 });
    expect(nextStep({ kind: "retry" }, past(2), RULES, NOW_MS, 0)).toMatchObject({ failures: 3 });
  });

  test("fails the task at its last attempt, not before and not after", () => {
    const states = [0, 1, 2, 3, 4].map(
      (failures) => nextStep({ kind: "retry" }, past(failures), RULES, NOW_MS, 0.5).state,
    );
    expect(states).toEqual(["pending", "pending", "pending", "failed", "failed"]);
  });

  test("with one attempt allowed retries nothing", () => {
    const once = { ...RULES, maxAttempts: 1 };
    expect(nextStep({ kind: "retry", afterMs: 5 }, past(0), once, NOW_MS, 0)).toEqual({
      state: "failed",
    });
  });

  test("spreads retries over a wait that doubles and is capped", () => {
    const waits = [0, 1, 2].map((failures) => {
      const step = nextStep({ kind: "retry" }, past(failures), RULES, NOW_MS, 0.5);
      return step.state === "pending" ? step.notBeforeMs - NOW_MS : undefined;
    });
    expect(waits).toEqual([500, 1000, 1500]);
    expect(nextStep({ kind: "retry" }, past(0), RULES, NOW_MS, 0)).toMatchObject({
      notBeforeMs: NOW_MS,
    });
  });

  test("waits as long as the upstream said when that is longer, past the cap too", () => {
    expect(
      nextStep({ kind: "retry", afterMs: 120_000 }, past(0), RULES, NOW_MS, 0.5),
    ).toMatchObject({
      notBeforeMs: NOW_MS + 120_000,
    });
  });

  test("waits its own time when the upstream's is shorter", () => {
    expect(nextStep({ kind: "retry", afterMs: 1 }, past(0), RULES, NOW_MS, 0.5)).toMatchObject({
      notBeforeMs: NOW_MS + 500,
    });
  });

  test("is due at a whole millisecond, not in the past", () => {
    const given = fc.oneof(
      fc.integer({ min: 0, max: 86_400_000 }),
      fc.double({ min: 0, max: 86_400_000, noNaN: true }),
    );
    const waits = fc.option(given, { nil: undefined });
    fc.assert(
      fc.property(
        fc.constantFrom("retry" as const, "throttled" as const),
        fc.nat({ max: 2_000 }),
        waits,
        chance,
        (kind, throttles, afterMs, random) => {
          const step = nextStep({ kind, afterMs }, past(0, throttles), RULES, NOW_MS, random);
          if (step.state !== "pending") throw new Error("a first failure is not final");
          expect(Number.isSafeInteger(step.notBeforeMs)).toBe(true);
          expect(step.notBeforeMs).toBeGreaterThanOrEqual(NOW_MS + (afterMs ?? 0));
        },
      ),
    );
  });
});
