import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type BucketLimits,
  type BucketState,
  earliestMs,
  settle,
  take,
} from "../../src/core/bucket.ts";

const NOW_MS = Date.UTC(2026, 10, 22);
const FULL: BucketState = { tatMs: 0 };
/** Ten units a second. */
const TEN_A_SECOND: BucketLimits = { perMinute: 600, burst: 5 };

interface Taking {
  cost: number;
  atMs: number;
}

const limits = fc.record({
  perMinute: fc.oneof(
    fc.integer({ min: 1, max: 1_000_000 }),
    fc.double({ min: 0.5, max: 1e6, noNaN: true }),
  ),
  burst: fc.oneof(fc.integer({ min: 1, max: 50 }), fc.double({ min: 1, max: 50, noNaN: true })),
});

/** Asks in the order they come; the gap is the time since the one before. */
const asks = fc.array(
  fc.record({
    gapMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 300 }), fc.nat({ max: 100_000 })),
    cost: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 60, noNaN: true })),
  }),
  { maxLength: 60 },
);

/** Takes as early as the bucket lets each ask, which may be after the next ask has come. */
function takeAll(of: BucketLimits, asked: { gapMs: number; cost: number }[]): Taking[] {
  let state = FULL;
  let nowMs = NOW_MS;
  return asked.map(({ gapMs, cost }) => {
    nowMs += gapMs;
    const atMs = earliestMs(state, of, cost, nowMs);
    expect(atMs).toBeGreaterThanOrEqual(nowMs);
    state = take(state, of, cost, atMs);
    return { cost, atMs };
  });
}

/** Units taken in the window that is the fullest for its length, less what its length pays for. */
function worstWindow(of: BucketLimits, takings: Taking[]): number {
  const sorted = takings.toSorted((a, b) => a.atMs - b.atMs);
  let worst = 0;
  for (const [first, { atMs: fromMs }] of sorted.entries()) {
    let units = 0;
    for (const { cost, atMs } of sorted.slice(first)) {
      units += cost;
      worst = Math.max(worst, units - ((atMs - fromMs) * of.perMinute) / 60_000);
    }
  }
  return worst;
}

/** When each of `count` units asked for at once may be taken, from now. */
function backlog(of: BucketLimits, state: BucketState, count: number): number[] {
  let next = state;
  return Array.from({ length: count }, () => {
    const atMs = earliestMs(next, of, 1, NOW_MS);
    next = take(next, of, 1, atMs);
    return atMs - NOW_MS;
  });
}

describe("a bucket", () => {
  test("never gives more than its burst and its rate in any window", () => {
    fc.assert(
      fc.property(limits, asks, (of, asked) => {
        const within = asked.map(({ gapMs, cost }) => ({ gapMs, cost: Math.min(cost, of.burst) }));
        expect(worstWindow(of, takeAll(of, within))).toBeLessThanOrEqual(of.burst + 1);
      }),
      { numRuns: 500 },
    );
  });

  test("is overdrawn by no more than one cost above the burst", () => {
    fc.assert(
      fc.property(limits, asks, (of, asked) => {
        const largest = Math.max(of.burst, ...asked.map(({ cost }) => cost));
        expect(worstWindow(of, takeAll(of, asked))).toBeLessThanOrEqual(largest + 1);
      }),
      { numRuns: 500 },
    );
  });

  test("that is full gives its burst at once, then one unit each interval", () => {
    expect(backlog(TEN_A_SECOND, FULL, 8)).toEqual([0, 0, 0, 0, 0, 100, 200, 300]);
  });

  test("is not slower than its rate after the burst", () => {
    fc.assert(
      fc.property(limits, fc.integer({ min: 1, max: 100 }), (of, count) => {
        const lastMs = backlog(of, FULL, count).at(-1) ?? 0;
        const owed = Math.max(0, count - of.burst);
        expect(lastMs).toBeCloseTo((owed * 60_000) / of.perMinute, 1);
      }),
    );
  });

  test("has no more than its burst after a long rest", () => {
    const emptied = take(FULL, TEN_A_SECOND, 5, NOW_MS - 30 * 86_400_000);
    expect(backlog(TEN_A_SECOND, emptied, 7)).toEqual([0, 0, 0, 0, 0, 100, 200]);
  });

  test("refills by its rate, no faster", () => {
    const emptied = take(FULL, TEN_A_SECOND, 5, NOW_MS - 300);
    expect(backlog(TEN_A_SECOND, emptied, 5)).toEqual([0, 0, 0, 100, 200]);
  });

  test("with a burst of 1 gives one unit each interval", () => {
    expect(backlog({ perMinute: 60, burst: 1 }, FULL, 3)).toEqual([0, 1000, 2000]);
  });

  test("makes a cost of several units wait for all of them", () => {
    const emptied = take(FULL, TEN_A_SECOND, 5, NOW_MS);
    expect(earliestMs(emptied, TEN_A_SECOND, 3, NOW_MS)).toBe(NOW_MS + 300);
  });

  test("makes a cost above the burst wait until it is full, and then no longer", () => {
    expect(earliestMs(FULL, TEN_A_SECOND, 50, NOW_MS)).toBe(NOW_MS);
    const used = take(FULL, TEN_A_SECOND, 1, NOW_MS);
    expect(earliestMs(used, TEN_A_SECOND, 50, NOW_MS)).toBe(NOW_MS + 100);
  });

  test("that was overdrawn pays the whole cost back before it gives again", () => {
    const overdrawn = take(FULL, TEN_A_SECOND, 50, NOW_MS);
    expect(earliestMs(overdrawn, TEN_A_SECOND, 1, NOW_MS)).toBe(NOW_MS + (50 - 4) * 100);
  });

  test("gives a cost of nothing at once unless it is overdrawn", () => {
    const emptied = take(FULL, TEN_A_SECOND, 5, NOW_MS);
    expect(earliestMs(emptied, TEN_A_SECOND, 0, NOW_MS)).toBe(NOW_MS);
    expect(take(emptied, TEN_A_SECOND, 0, NOW_MS)).toEqual(emptied);
  });

  test("does not change when it is asked or taken from", () => {
    const state = Object.freeze({ tatMs: NOW_MS });
    take(state, TEN_A_SECOND, 3, NOW_MS);
    settle(state, TEN_A_SECOND, 3);
    earliestMs(state, TEN_A_SECOND, 3, NOW_MS);
    expect(state).toEqual({ tatMs: NOW_MS });
  });
});

describe("settle", () => {
  test("right after a reservation leaves what taking the used units would have left", () => {
    fc.assert(
      fc.property(limits, fc.nat({ max: 100 }), fc.nat({ max: 100 }), (of, reserved, used) => {
        const settled = settle(take(FULL, of, reserved, NOW_MS), of, used - reserved);
        expect(settled.tatMs).toBeCloseTo(take(FULL, of, used, NOW_MS).tatMs, 1);
      }),
    );
  });

  test("charges what was used beyond the reservation", () => {
    const state = settle(take(FULL, TEN_A_SECOND, 1, NOW_MS), TEN_A_SECOND, 4);
    expect(earliestMs(state, TEN_A_SECOND, 1, NOW_MS)).toBe(NOW_MS + 100);
  });

  test("gives back what was reserved and not used", () => {
    const state = settle(take(FULL, TEN_A_SECOND, 5, NOW_MS), TEN_A_SECOND, -2);
    expect(backlog(TEN_A_SECOND, state, 3)).toEqual([0, 0, 100]);
  });

  test("never gives back more than a full bucket", () => {
    expect(settle({ tatMs: 5 }, TEN_A_SECOND, -1e9)).toEqual({ tatMs: 0 });
    const state = settle(take(FULL, TEN_A_SECOND, 5, NOW_MS), TEN_A_SECOND, -1e6);
    expect(backlog(TEN_A_SECOND, state, 6)).toEqual([0, 0, 0, 0, 0, 100]);
  });

  test("before the next ask, holds every window to what was used", () => {
    const reservations = fc.array(
      fc.record({
        gapMs: fc.nat({ max: 2_000 }),
        reserved: fc.nat({ max: 10 }),
        used: fc.nat({ max: 10 }),
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(limits, reservations, (of, asked) => {
        let state = FULL;
        let nowMs = NOW_MS;
        const takings: Taking[] = [];
        for (const { gapMs, reserved, used } of asked) {
          nowMs = earliestMs(state, of, reserved, nowMs + gapMs);
          state = settle(take(state, of, reserved, nowMs), of, used - reserved);
          takings.push({ cost: used, atMs: nowMs });
        }
        // What one call uses beyond the burst, or beyond what it reserved, is known only afterwards.
        expect(worstWindow(of, takings)).toBeLessThanOrEqual(of.burst + 10 + 1);
      }),
    );
  });
});
