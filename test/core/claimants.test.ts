import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Crowd, chances, KEPT_MS, START_MS, Upstream } from "../support/quota.ts";

describe("fair shares", () => {
  test("keep what a batch frees beyond its share for another one that waits", () => {
    const upstream = new Upstream({ maxConcurrency: 10 });
    upstream.ask("a", { want: 10 });
    upstream.ask("b", { want: 10 });
    for (let held = 9; held >= 5; held -= 1)
      expect(upstream.grants("a", { held, want: 1 })).toBe(0);
    expect(upstream.grants("b", { want: 10 })).toBe(5);
    expect(upstream.grants("a", { held: 4, want: 1 })).toBe(1);
  });

  test("keep no more for a batch than it wants", () => {
    const upstream = new Upstream({ maxConcurrency: 10 });
    upstream.ask("a", { want: 10 });
    upstream.ask("b", { want: 2 });
    expect(upstream.grants("a", { held: 5, want: 5 })).toBe(3);
  });

  test("are lent to who wants more while nobody else does", () => {
    const upstream = new Upstream({ maxConcurrency: 10 });
    upstream.ask("b", { want: 2 });
    expect(upstream.grants("a", { want: 10 })).toBe(8);
  });

  test("are not kept for a batch that stopped asking", () => {
    const upstream = new Upstream({ maxConcurrency: 10 });
    upstream.ask("a", { want: 10 });
    upstream.ask("b", { want: 10 });
    upstream.nowMs = START_MS + KEPT_MS;
    expect(upstream.grants("a", { held: 8, want: 2 })).toBe(0);
    upstream.nowMs += 1;
    expect(upstream.grants("a", { held: 8, want: 2 })).toBe(2);
  });

  test("count a silent batch's calls though nothing more is kept for it", () => {
    const upstream = new Upstream({ maxConcurrency: 10 });
    upstream.ask("b", { want: 3 });
    upstream.ask("a", { want: 7 });
    upstream.ask("b", { held: 3, want: 8 });
    upstream.ask("a", {});
    upstream.nowMs = START_MS + KEPT_MS + 1;
    expect(upstream.grants("a", { want: 10 })).toBe(7);
  });

  test("of batches with more work than room are reached by all, and held", () => {
    // Every divisor: with a remainder, see the next test.
    for (const batches of [1, 2, 3, 4, 6, 12]) {
      const crowd = new Crowd({ maxConcurrency: 12 }, batches);
      crowd.run(100, chances(batches));
      expect(crowd.inFlight).toEqual(Array(batches).fill(12 / batches));
    }
  });

  // Known bug, see roomFor: the share is rounded up, so four calls among three batches are 2, 2, 0.
  test("leave no batch without a call when they do not divide the limit", () => {
    for (let batches = 1; batches <= 12; batches += 1) {
      const crowd = new Crowd({ maxConcurrency: 12 }, batches);
      crowd.run(500, chances(batches));
      expect(Math.min(...crowd.inFlight)).toBeGreaterThanOrEqual(1);
    }
  });

  // Known bug, see roomFor: who frees its only call asks in the same breath and gets it back.
  test("come round to every batch when there are more of them than calls", () => {
    for (const [maxConcurrency, batches] of [
      [1, 2],
      [2, 5],
      [5, 20],
    ] as const) {
      const crowd = new Crowd({ maxConcurrency }, batches);
      crowd.run(100 * batches, chances(batches));
      expect(Math.min(...crowd.finished)).toBeGreaterThan(0);
    }
  });

  test("leave no call unused while somebody wants it", () => {
    const batches = fc.integer({ min: 1, max: 9 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), batches, fc.integer(), (limit, count, seed) => {
        const crowd = new Crowd({ maxConcurrency: limit }, count);
        crowd.run(60, chances(seed));
        for (const [batch] of crowd.inFlight.entries()) crowd.ask(batch, limit);
        expect(crowd.total).toBe(limit);
      }),
    );
  });
});

describe("weights", () => {
  /** Batches of these weights that all have more work than they can ever do. */
  function shares(maxConcurrency: number, weights: number[]): number[] {
    const upstream = new Upstream({ maxConcurrency });
    const held = weights.map(() => 0);
    const random = chances(weights.length);
    for (let round = 0; round < 50 * maxConcurrency; round += 1) {
      upstream.nowMs += 10;
      const batch = Math.floor(random() * weights.length);
      held[batch] = Math.max(0, (held[batch] ?? 0) - 1);
      const said = { held: held[batch] ?? 0, weight: weights[batch] ?? 0, want: maxConcurrency };
      held[batch] = (held[batch] ?? 0) + upstream.grants(`batch-${batch}`, said);
      for (const other of upstream.called) {
        const index = Number(other.slice("batch-".length));
        const ask = { held: held[index] ?? 0, weight: weights[index] ?? 0, want: maxConcurrency };
        held[index] = (held[index] ?? 0) + upstream.grants(other, ask);
      }
    }
    return held;
  }

  test.each([
    [
      [10, 10],
      [6, 6],
    ],
    [
      [10, 20],
      [4, 8],
    ],
    [
      [10, 50],
      [2, 10],
    ],
    [
      [5, 10, 15],
      [2, 4, 6],
    ],
    [
      [1, 100],
      [1, 11],
    ],
  ])("of %j share twelve calls as %j", (weights, expected) => {
    const seen = shares(12, weights);
    for (const [index, held] of seen.entries()) {
      expect(Math.abs(held - (expected[index] ?? 0))).toBeLessThanOrEqual(1);
    }
    expect(seen.reduce((sum, held) => sum + held, 0)).toBe(12);
  });

  test("share a rate, too, whoever asks for more at once", () => {
    const upstream = new Upstream({ rpm: 6000, burst: 10, maxConcurrency: 1_000 });
    const started = { light: 0, heavy: 0 };
    const due = { light: 0, heavy: 0 };
    for (const endMs = START_MS + 20_000; upstream.nowMs < endMs; upstream.nowMs += 5) {
      for (const [batch, weight, want] of [
        ["light", 10, 200],
        ["heavy", 30, 20],
      ] as const) {
        if (upstream.nowMs < due[batch]) continue;
        const { startInMs, retryInMs } = upstream.ask(batch, { weight, want });
        started[batch] += startInMs.length;
        due[batch] = upstream.nowMs + (retryInMs ?? 0);
      }
    }
    expect(started.light + started.heavy).toBeGreaterThan(1_900);
    expect(started.heavy / started.light).toBeGreaterThan(2.4);
    expect(started.heavy / started.light).toBeLessThan(3.6);
  });
});

describe("calls of many tokens beside calls of few", () => {
  /** Both ask every 100 ms, for a minute; a call ends as soon as it starts. */
  function minute(bigCost: number, smallCost: number): { big: number; small: number } {
    const upstream = new Upstream({ tpm: 60_000, maxConcurrency: 50 });
    const started = { big: 0, small: 0 };
    const endMs = START_MS + 60_000;
    for (; upstream.nowMs < endMs; upstream.nowMs += 50) {
      started.small += upstream.grants("small", { costs: Array(20).fill(smallCost), ready: 1 });
      upstream.nowMs += 50;
      started.big += upstream.grants("big", { costs: Array(20).fill(bigCost), ready: 1 });
    }
    return started;
  }

  test.each([
    [7_000, 50],
    [7_000, 500],
    [12_000, 50],
    [3_500, 100],
  ])("of %i and of %i tokens: neither starves, and the tokens are used", (bigCost, smallCost) => {
    const { big, small } = minute(bigCost, smallCost);
    expect(big).toBeGreaterThanOrEqual(2);
    expect(small).toBeGreaterThanOrEqual(2);
    expect(big * bigCost + small * smallCost).toBeGreaterThan(0.9 * 59_400);
  });

  test("wait for one another only, not for a batch that stopped asking", () => {
    const upstream = new Upstream({ tpm: 60_000, maxConcurrency: 50 });
    upstream.ask("small", { costs: [1_000] });
    expect(upstream.grants("big", { costs: [9_700] })).toBe(0);
    upstream.nowMs += 500;
    expect(upstream.grants("small", { costs: [1_000] })).toBe(0);
    upstream.nowMs += 2_000;
    expect(upstream.grants("small", { costs: [1_000] })).toBe(1);
  });
});
