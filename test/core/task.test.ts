import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nextStep, type RetryRules } from "../../src/core/task.ts";

const NOW_MS = Date.UTC(2026, 10, 22);
const RULES: RetryRules = { maxAttempts: 4, baseMs: 1000, maxMs: 3000 };

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("nextStep", () => {
  test("of a success and of a final failure is final, whatever failed before", () => {
    for (const failures of [0, 3, 99]) {
      expect(nextStep({ kind: "succeeded" }, failures, RULES, NOW_MS, 0)).toEqual({
        state: "succeeded",
      });
      expect(nextStep({ kind: "failed" }, failures, RULES, NOW_MS, 0)).toEqual({ state: "failed" });
    }
  });

  test("of a throttled attempt waits as long as the upstream said and counts no failure", () => {
    expect(nextStep({ kind: "throttled", afterMs: 90_000 }, 3, RULES, NOW_MS, 0.9)).toEqual({
      state: "pending",
      failures: 3,
      notBeforeMs: NOW_MS + 90_000,
    });
  });

  test("of a throttled attempt without a time leaves the wait to the upstream's cooldown", () => {
    expect(nextStep({ kind: "throttled" }, 0, RULES, NOW_MS, 0.9)).toEqual({
      state: "pending",
      failures: 0,
      notBeforeMs: NOW_MS,
    });
  });

  test("never fails a task for being throttled, however often", () => {
    fc.assert(
      fc.property(fc.nat(), chance, (failures, random) => {
        const step = nextStep({ kind: "throttled" }, failures, RULES, NOW_MS, random);
        expect(step).toMatchObject({ state: "pending", failures });
      }),
    );
  });

  test("of a failed attempt counts it", () => {
    expect(nextStep({ kind: "retry" }, 0, RULES, NOW_MS, 0)).toMatchObject({ failures: 1 });
    expect(nextStep({ kind: "retry" }, 2, RULES, NOW_MS, 0)).toMatchObject({ failures: 3 });
  });

  test("fails the task at its last attempt, not before and not after", () => {
    const states = [0, 1, 2, 3, 4].map(
      (failures) => nextStep({ kind: "retry" }, failures, RULES, NOW_MS, 0.5).state,
    );
    expect(states).toEqual(["pending", "pending", "pending", "failed", "failed"]);
  });

  test("with one attempt allowed retries nothing", () => {
    const once = { ...RULES, maxAttempts: 1 };
    expect(nextStep({ kind: "retry", afterMs: 5 }, 0, once, NOW_MS, 0)).toEqual({
      state: "failed",
    });
  });

  test("spreads retries over a wait that doubles and is capped", () => {
    const waits = [0, 1, 2].map((failures) => {
      const step = nextStep({ kind: "retry" }, failures, RULES, NOW_MS, 0.5);
      return step.state === "pending" ? step.notBeforeMs - NOW_MS : undefined;
    });
    expect(waits).toEqual([500, 1000, 1500]);
    expect(nextStep({ kind: "retry" }, 0, RULES, NOW_MS, 0)).toMatchObject({ notBeforeMs: NOW_MS });
  });

  test("waits as long as the upstream said when that is longer, past the cap too", () => {
    expect(nextStep({ kind: "retry", afterMs: 120_000 }, 0, RULES, NOW_MS, 0.5)).toMatchObject({
      notBeforeMs: NOW_MS + 120_000,
    });
  });

  test("waits its own time when the upstream's is shorter", () => {
    expect(nextStep({ kind: "retry", afterMs: 1 }, 0, RULES, NOW_MS, 0.5)).toMatchObject({
      notBeforeMs: NOW_MS + 500,
    });
  });

  test("is due at a whole millisecond, not in the past", () => {
    const waits = fc.option(fc.integer({ min: 0, max: 86_400_000 }), { nil: undefined });
    fc.assert(
      fc.property(
        fc.constantFrom("retry" as const, "throttled" as const),
        waits,
        chance,
        (kind, afterMs, random) => {
          const step = nextStep({ kind, afterMs }, 0, RULES, NOW_MS, random);
          if (step.state !== "pending") throw new Error("a first failure is not final");
          expect(Number.isSafeInteger(step.notBeforeMs)).toBe(true);
          expect(step.notBeforeMs).toBeGreaterThanOrEqual(NOW_MS + (afterMs ?? 0));
        },
      ),
    );
  });
});
