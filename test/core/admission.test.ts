import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import {
  type Ask,
  admit,
  FULL_RETRY_MS,
  freshQuota,
  type Grant,
  HOLD_TTL_MS,
  HORIZON_MS,
  type Hold,
  KEEP_MS,
  type Quota,
} from "../../src/core/admission.ts";
import {
  limitsOf,
  requestLimits,
  tokenLimits,
  type UpstreamLimits,
} from "../../src/core/limits.ts";

const START_MS = Date.UTC(2026, 10, 22);

/** Calls are kept this long for a batch that was to be called and is not heard. */
const KEPT_MS = FULL_RETRY_MS + KEEP_MS;

/** What a batch says; what it leaves out is nothing. `want` calls of one token each. */
type Said = Partial<Omit<Ask, "batch">> & { want?: number };

/** One upstream's quota, kept from ask to ask as the Limiter keeps it. */
class Upstream {
  quota: Quota = freshQuota();
  readonly holds = new Map<string, Hold>();
  readonly limits: UpstreamLimits;
  nowMs = START_MS;
  random = 0;
  /** Batches that the last ask had called. */
  called: string[] = [];

  constructor(limits: UpstreamLimits) {
    this.limits = limits;
  }

  ask(batch: string, { want = 0, ...said }: Said): Grant {
    const costs = said.costs ?? Array<number>(want).fill(1);
    const quiet = { held: 0, weight: 10, ready: 0, served: true, extraTokens: 0, answered: false };
    const ask: Ask = { batch, ...quiet, ...said, costs };
    const { quota, hold, grant, called } = admit(
      this.quota,
      this.holds,
      limitsOf(this.limits),
      ask,
      this.nowMs,
      this.random,
    );
    this.quota = quota;
    this.called = called;
    for (const other of called) {
      const waiting = this.holds.get(other);
      if (waiting) this.holds.set(other, { ...waiting, dueAtMs: this.nowMs });
    }
    if (hold.held === 0 && hold.unmet === 0) this.holds.delete(batch);
    else this.holds.set(batch, hold);
    return grant;
  }

  /** How many calls an ask gets. */
  grants(batch: string, said: Said): number {
    return this.ask(batch, said).startInMs.length;
  }
}

/** Batches that call an upstream, and what each of them has in flight. */
class Crowd {
  readonly upstream: Upstream;
  readonly inFlight: number[];
  readonly finished: number[];

  constructor(limits: UpstreamLimits, batches: number) {
    this.upstream = new Upstream(limits);
    this.inFlight = Array<number>(batches).fill(0);
    this.finished = Array<number>(batches).fill(0);
  }

  get total(): number {
    return this.inFlight.reduce((sum, calls) => sum + calls, 0);
  }

  held(batch: number): number {
    return this.inFlight[batch] ?? 0;
  }

  /** Asks; a reply that is lost starts no call. */
  ask(batch: number, want: number, replyLost = false): Grant {
    const grant = this.upstream.ask(`batch-${batch}`, { held: this.held(batch), want });
    if (!replyLost) this.inFlight[batch] = this.held(batch) + grant.startInMs.length;
    return grant;
  }

  finish(batch: number, calls: number): void {
    const ended = Math.min(calls, this.held(batch));
    this.inFlight[batch] = this.held(batch) - ended;
    this.finished[batch] = (this.finished[batch] ?? 0) + ended;
  }

  /**
   * Runs batches that all have more work than they can ever do: a call ends, the lane that is free
   * asks in the same breath, and now and then everybody who waits asks again.
   *
   * @param pick the place, in [0, 1), of the call that ends next among those in flight.
   */
  run(calls: number, pick: () => number): void {
    const want = this.upstream.limits.maxConcurrency;
    for (let ended = 0; ended < calls; ended += 1) {
      if (ended % want === 0) {
        for (const [batch] of this.inFlight.entries()) this.ask(batch, want);
      }
      let place = Math.floor(pick() * this.total);
      const batch = this.inFlight.findIndex((held) => {
        place -= held;
        return place < 0;
      });
      this.upstream.nowMs += 10;
      this.finish(batch, 1);
      this.ask(batch, 1);
    }
  }
}

/** The same chances every time (mulberry32). */
function chances(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Units in the window that is the fullest for its length, less what its length pays for. */
function worstWindow(starts: { atMs: number; cost: number }[], perMinute: number): number {
  const sorted = starts.toSorted((a, b) => a.atMs - b.atMs);
  let worst = 0;
  for (const [first, { atMs: fromMs }] of sorted.entries()) {
    let units = 0;
    for (const { atMs, cost } of sorted.slice(first)) {
      units += cost;
      worst = Math.max(worst, units - ((atMs - fromMs) * perMinute) / 60_000);
    }
  }
  return worst;
}

const step = fc.record({
  batch: fc.nat({ max: 5 }),
  want: fc.nat({ max: 30 }),
  finish: fc.nat({ max: 10 }),
  replyLost: fc.boolean(),
  passMs: fc.nat({ max: 1_000 }),
});

describe("calls in flight", () => {
  test("of all batches together never exceed maxConcurrency", () => {
    const steps = fc.array(step, { maxLength: 80 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), steps, (maxConcurrency, taken) => {
        const crowd = new Crowd({ maxConcurrency }, 6);
        for (const { batch, want, finish, replyLost, passMs } of taken) {
          crowd.upstream.nowMs += passMs;
          crowd.finish(batch, finish);
          const grant = crowd.ask(batch, want, replyLost);
          expect(grant.startInMs.length).toBeLessThanOrEqual(want);
          expect(crowd.total).toBeLessThanOrEqual(maxConcurrency);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("of a lone batch are as many as it wants, up to the limit", () => {
    const upstream = new Upstream({ maxConcurrency: 50 });
    expect(upstream.grants("a", { want: 20 })).toBe(20);
    expect(upstream.grants("a", { held: 20, want: 100 })).toBe(30);
    expect(upstream.grants("a", { held: 50, want: 100 })).toBe(0);
  });

  test("start at once when nothing but their number is limited", () => {
    const upstream = new Upstream({ maxConcurrency: 3 });
    expect(upstream.ask("a", { want: 3 })).toMatchObject({ startInMs: [0, 0, 0], retryInMs: null });
  });

  test("beyond the limit, as after it was lowered, admit no more and break nothing", () => {
    const upstream = new Upstream({ maxConcurrency: 3 });
    expect(upstream.grants("a", { held: 10, want: 1 })).toBe(0);
    expect(upstream.grants("b", { want: 1 })).toBe(0);
  });

  test("are given back to the others when a batch ends", () => {
    const upstream = new Upstream({ maxConcurrency: 10 });
    upstream.ask("a", { want: 10 });
    upstream.ask("b", { want: 10 });
    upstream.ask("a", {});
    expect(upstream.grants("b", { want: 10 })).toBe(10);
  });

  test("that were granted in a lost reply are corrected by the next ask", () => {
    const upstream = new Upstream({ maxConcurrency: 10 });
    upstream.ask("a", { want: 10 });
    expect(upstream.grants("b", { want: 4 })).toBe(0);
    upstream.ask("a", { held: 0 });
    expect(upstream.grants("b", { want: 4 })).toBe(4);
  });

  test("of a batch that is silent count until its hold is too old", () => {
    const upstream = new Upstream({ maxConcurrency: 10 });
    upstream.ask("a", { want: 10 });
    upstream.nowMs = START_MS + HOLD_TTL_MS;
    expect(upstream.grants("b", { want: 4 })).toBe(0);
    upstream.nowMs += 1;
    expect(upstream.grants("b", { want: 4 })).toBe(4);
  });
});

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

describe("a batch that only tells", () => {
  /** A limit of two calls, both of them a's; b wants them, and after it c. */
  function queue(): Upstream {
    const upstream = new Upstream({ maxConcurrency: 2 });
    upstream.ask("a", { want: 2 });
    upstream.nowMs += 10;
    upstream.ask("b", { want: 2 });
    upstream.nowMs += 10;
    upstream.ask("c", { want: 2 });
    upstream.nowMs += 10;
    return upstream;
  }

  test("keeps its place in line, and waits for as many calls as it has tasks", () => {
    const upstream = queue();
    const before = upstream.holds.get("b");
    expect(upstream.ask("b", { ready: 3 })).toMatchObject({ startInMs: [], retryInMs: null });
    expect(upstream.holds.get("b")).toMatchObject({
      unmet: 3,
      waitingSinceMs: before?.waitingSinceMs,
      seenAtMs: upstream.nowMs,
    });
    upstream.ask("a", { held: 1 });
    expect(upstream.called).toEqual(["b"]);
    expect(upstream.grants("c", { want: 2 })).toBe(0);
    expect(upstream.grants("b", { want: 2 })).toBe(1);
  });

  test("is told at once when a call is free for it", () => {
    const upstream = queue();
    upstream.ask("a", { held: 0 });
    expect(upstream.called).toEqual(["b", "c"]);
    upstream.ask("d", { ready: 1 });
    expect(upstream.called).toEqual([]);
    const empty = new Upstream({ maxConcurrency: 2 });
    empty.ask("a", { ready: 1 });
    expect(empty.called).toEqual(["a"]);
  });

  test("has no call kept when nobody serves it", () => {
    const upstream = queue();
    upstream.ask("b", { ready: 3, served: false });
    upstream.ask("a", { held: 1 });
    expect(upstream.called).toEqual(["c"]);
    expect(upstream.holds.get("b")).toMatchObject({ unmet: 3 });
  });

  test("gives its place up when it has no work any more", () => {
    const upstream = queue();
    upstream.ask("b", {});
    expect(upstream.holds.has("b")).toBe(false);
    upstream.ask("a", { held: 1 });
    expect(upstream.grants("c", { want: 2 })).toBe(1);
  });

  test("is placed at the end of the line when it asks anew after giving its place up", () => {
    const upstream = queue();
    upstream.ask("b", {});
    upstream.ask("b", { want: 2 });
    upstream.ask("a", { held: 1 });
    expect(upstream.grants("b", { want: 2 })).toBe(0);
    expect(upstream.grants("c", { want: 2 })).toBe(1);
  });

  test("is believed in what it holds, and keeps its place with fewer calls in flight", () => {
    const upstream = new Upstream({ maxConcurrency: 4 });
    upstream.ask("a", { want: 4 });
    upstream.ask("a", { held: 4, want: 3 });
    upstream.ask("b", { want: 2 });
    upstream.ask("a", { held: 1, ready: 3 });
    expect(upstream.holds.get("a")).toMatchObject({ held: 1, unmet: 3 });
    // b has fewest and comes to one; of the two that are left each gets one.
    expect(upstream.grants("b", { want: 4 })).toBe(2);
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

describe("rates", () => {
  const limits = fc.record({
    rpm: fc.option(fc.integer({ min: 1, max: 100_000 }), { nil: undefined }),
    tpm: fc.option(fc.integer({ min: 100, max: 1_000_000 }), { nil: undefined }),
    burst: fc.option(fc.integer({ min: 1, max: 100 }), { nil: undefined }),
    maxConcurrency: fc.integer({ min: 1, max: 30 }),
  });
  const asks = fc.array(
    fc.record({
      batch: fc.constantFrom("a", "b", "c"),
      costs: fc.array(fc.integer({ min: 1, max: 2_000 }), { maxLength: 12 }),
      passMs: fc.oneof(fc.nat({ max: 50 }), fc.nat({ max: 2_000 })),
      afterMs: fc.option(fc.nat({ max: 500 }), { freq: 8 }),
    }),
    { maxLength: 40 },
  );

  test("hold across batches, no permit lies beyond the horizon, and the rest is told when", () => {
    fc.assert(
      fc.property(limits, asks, (of, asked) => {
        const upstream = new Upstream(of);
        const starts: { atMs: number; cost: number }[] = [];
        for (const { batch, costs, passMs, afterMs } of asked) {
          upstream.nowMs += passMs;
          const throttled = afterMs === null ? undefined : { afterMs };
          const { startInMs, retryInMs } = upstream.ask(batch, { costs, throttled });
          for (const [index, startMs] of startInMs.entries()) {
            expect(startMs).toBeGreaterThanOrEqual(0);
            expect(startMs).toBeLessThanOrEqual(HORIZON_MS);
            const atMs = upstream.nowMs + startMs;
            expect(atMs).toBeGreaterThanOrEqual(upstream.quota.cooldownUntilMs);
            starts.push({ atMs, cost: costs[index] ?? 0 });
          }
          if (startInMs.length === costs.length) expect(retryInMs).toBeNull();
          else expect(retryInMs).toBeGreaterThan(0);
        }
        const { rpm, tpm, burst } = of;
        if (rpm !== undefined) {
          const calls = starts.map(({ atMs }) => ({ atMs, cost: 1 }));
          expect(worstWindow(calls, rpm)).toBeLessThanOrEqual((burst ?? Math.ceil(rpm / 60)) + 1);
        }
        if (tpm !== undefined) {
          const largest = Math.max((tpm / 60) * 10, ...starts.map(({ cost }) => cost));
          expect(worstWindow(starts, tpm)).toBeLessThanOrEqual(largest + 1);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("use a little less than the configured burst and rate", () => {
    expect(requestLimits({ rpm: 6000, burst: 10, maxConcurrency: 1 })).toEqual({
      perMinute: 5940,
      burst: 7,
    });
    const tokens = tokenLimits({ tpm: 60_000, maxConcurrency: 1 });
    expect(tokens?.perMinute).toBe(59_400);
    // A small burst keeps a third; a large one only what arrives too early or too late.
    expect(tokens?.burst).toBe(9_700);
  });

  test("let at least one request or token start, however small the burst", () => {
    expect(requestLimits({ rpm: 1, maxConcurrency: 1 })?.burst).toBe(1);
    expect(requestLimits({ rpm: 600, burst: 1, maxConcurrency: 1 })?.burst).toBe(1);
    expect(tokenLimits({ tpm: 1, maxConcurrency: 1 })?.burst).toBe(1);
  });

  test("take a second's requests for the burst when none is configured", () => {
    expect(requestLimits({ rpm: 6000, maxConcurrency: 1 })?.burst).toBe(70);
  });

  test("that are not configured are not enforced", () => {
    expect(requestLimits({ maxConcurrency: 1 })).toBeUndefined();
    expect(tokenLimits({ maxConcurrency: 1 })).toBeUndefined();
    const upstream = new Upstream({ maxConcurrency: 10_000 });
    const grant = upstream.ask("a", { costs: Array<number>(10_000).fill(1e9) });
    expect(grant).toMatchObject({ startInMs: Array(10_000).fill(0), retryInMs: null });
  });

  test("are used up by a batch that asks again when it was told to", () => {
    const upstream = new Upstream({ rpm: 6000, burst: 10, maxConcurrency: 1000 });
    let started = 0;
    while (upstream.nowMs < START_MS + 60_000) {
      const { startInMs, retryInMs } = upstream.ask("a", { want: 500 });
      started += startInMs.length;
      upstream.nowMs += retryInMs ?? 0;
    }
    expect(started).toBeGreaterThanOrEqual(5940);
  });

  test("grant something when a batch that waits for a rate asks at the time it was told", () => {
    const slow = fc.record({
      rpm: fc.integer({ min: 1, max: 1000 }),
      tpm: fc.integer({ min: 100, max: 10_000 }),
      maxConcurrency: fc.constant(10_000),
    });
    fc.assert(
      fc.property(slow, fc.integer({ min: 1, max: 5_000 }), (of, cost) => {
        const upstream = new Upstream(of);
        for (let round = 0; round < 5; round += 1) {
          const grant = upstream.ask("a", { costs: Array<number>(200).fill(cost) });
          expect(grant.startInMs.length).toBeGreaterThan(0);
          upstream.nowMs += grant.retryInMs ?? 0;
        }
      }),
    );
  });

  test("start permits that lie ahead one interval apart", () => {
    const upstream = new Upstream({ rpm: 600 / 0.99, burst: 1, maxConcurrency: 100 });
    const { startInMs, retryInMs } = upstream.ask("a", { want: 5 });
    expect(startInMs.map(Math.round)).toEqual([0, 100, 200]);
    expect(retryInMs).toBe(300 - HORIZON_MS / 2);
  });

  test("hold back a call whose tokens are not there, and those behind it", () => {
    const upstream = new Upstream({ tpm: 60_000, maxConcurrency: 100 });
    expect(upstream.grants("a", { costs: [5_000, 5_000, 1] })).toBe(1);
    expect(upstream.grants("b", { costs: [1] })).toBe(1);
  });

  test("let a call start that costs more tokens than fit, once the bucket is full", () => {
    const upstream = new Upstream({ tpm: 60_000, maxConcurrency: 100 });
    expect(upstream.grants("a", { costs: [1_000_000] })).toBe(1);
    expect(upstream.grants("b", { costs: [1] })).toBe(0);
  });

  test("count the tokens a call used beyond those reserved", () => {
    const upstream = new Upstream({ tpm: 60_000, maxConcurrency: 100 });
    upstream.ask("a", { costs: [1] });
    upstream.ask("a", { extraTokens: 11_000 });
    expect(upstream.grants("b", { costs: [1] })).toBe(0);
  });

  test("give back the tokens that were reserved and not used", () => {
    const upstream = new Upstream({ tpm: 60_000, maxConcurrency: 100 });
    upstream.ask("a", { costs: [9_700] });
    expect(upstream.grants("a", { costs: [5_000] })).toBe(0);
    expect(upstream.grants("a", { extraTokens: -6_000, costs: [5_000] })).toBe(1);
  });

  test("are not taken from by calls for which no room is in flight", () => {
    const upstream = new Upstream({ rpm: 60, burst: 1, maxConcurrency: 1 });
    upstream.ask("a", { want: 1 });
    const { tatMs } = upstream.quota.requests;
    upstream.nowMs += 5_000;
    expect(upstream.ask("b", { want: 5 })).toMatchObject({ startInMs: [] });
    expect(upstream.quota.requests.tatMs).toBe(tatMs);
  });
});

describe("retryInMs", () => {
  test("is null exactly when all was granted, and above 0 else", () => {
    const upstream = new Upstream({ maxConcurrency: 5 });
    expect(upstream.ask("a", { want: 0 }).retryInMs).toBeNull();
    expect(upstream.ask("a", { want: 4 }).retryInMs).toBeNull();
    expect(upstream.ask("a", { held: 4, want: 2 }).retryInMs).toBeGreaterThan(0);
    expect(upstream.ask("a", { held: 5, want: 1 }).retryInMs).toBeGreaterThan(0);
  });
});

describe("a cooldown", () => {
  let upstream: Upstream;
  beforeEach(() => {
    upstream = new Upstream({ maxConcurrency: 100 });
  });

  /** How long nothing starts from now. */
  const restMs = () => upstream.quota.cooldownUntilMs - upstream.nowMs;

  /** A 429 without a time, and then the end of its cooldown; how long that was. */
  function throttleAndWait(random = 0): number {
    upstream.random = random;
    upstream.ask("a", { throttled: {} });
    const lasted = restMs();
    upstream.nowMs += lasted;
    return lasted;
  }

  test("lasts as long as the upstream said, for every batch", () => {
    upstream.ask("a", { throttled: { afterMs: 20_000 } });
    expect(restMs()).toBe(20_000);
    expect(upstream.ask("a", { want: 1 }).startInMs).toEqual([]);
    expect(upstream.ask("b", { want: 1 }).startInMs).toEqual([]);
  });

  test("starts with the ask that tells of the 429", () => {
    const grant = upstream.ask("a", { throttled: { afterMs: 20_000 }, want: 1 });
    expect(grant).toMatchObject({ startInMs: [], retryInMs: 20_000 - HORIZON_MS / 2 });
  });

  test("is obeyed as long as the upstream said, up to a quarter of an hour", () => {
    upstream.ask("a", { throttled: { afterMs: 600_000 } });
    upstream.nowMs += 599_000;
    expect(upstream.grants("a", { want: 1 })).toBe(0);
    upstream.ask("a", { throttled: { afterMs: 1e15 } });
    upstream.nowMs += 899_000;
    expect(upstream.grants("a", { want: 1 })).toBe(0);
    upstream.nowMs += 1_000;
    expect(upstream.grants("a", { want: 1 })).toBe(1);
  });

  test("lets permits lie at its end when that is near", () => {
    upstream.ask("a", { throttled: { afterMs: 20_000 } });
    upstream.nowMs += 20_000 - HORIZON_MS;
    expect(upstream.ask("a", { want: 2 }).startInMs).toEqual([HORIZON_MS, HORIZON_MS]);
  });

  test("without a time lasts from half a second to a second at first", () => {
    expect(throttleAndWait(0)).toBe(500);
    upstream = new Upstream({ maxConcurrency: 100 });
    expect(throttleAndWait(0.999)).toBeCloseTo(999.5);
  });

  test("doubles with every 429 that comes after the last one's end, up to a minute", () => {
    const lasted = Array.from({ length: 10 }, () => throttleAndWait());
    expect(lasted).toEqual([500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000, 30000]);
    expect(throttleAndWait(0.999_999)).toBeLessThanOrEqual(60_000);
  });

  test("stays a length of time after any number of 429s", () => {
    upstream.quota.throttles = 5_000;
    expect(throttleAndWait()).toBe(30_000);
  });

  test("counts a burst of 429s once", () => {
    for (const batch of ["a", "b", "c", "a"]) {
      upstream.ask(batch, { throttled: {} });
      upstream.nowMs += 10;
    }
    expect(upstream.quota.throttles).toBe(1);
    expect(restMs()).toBeLessThanOrEqual(500);
    upstream.nowMs += restMs();
    expect(throttleAndWait()).toBe(1000);
  });

  test("is not cut short by a later 429 with a shorter time", () => {
    upstream.ask("a", { throttled: { afterMs: 20_000 } });
    upstream.ask("b", { throttled: { afterMs: 1_000 } });
    upstream.ask("b", { throttled: {} });
    expect(restMs()).toBe(20_000);
  });

  test("is made longer by a later 429 with a longer time", () => {
    upstream.ask("a", { throttled: { afterMs: 1_000 } });
    upstream.ask("b", { throttled: { afterMs: 20_000 } });
    expect(restMs()).toBe(20_000);
  });

  test("starts small again after a call was answered", () => {
    throttleAndWait();
    throttleAndWait();
    upstream.ask("b", { answered: true });
    expect(upstream.quota.throttles).toBe(0);
    expect(throttleAndWait()).toBe(500);
  });

  test("is not ended or made small by answers to calls that began before it", () => {
    throttleAndWait();
    upstream.ask("a", { throttled: { afterMs: 5_000 } });
    upstream.nowMs += 10;
    upstream.ask("b", { answered: true });
    expect(restMs()).toBe(4_990);
    expect(upstream.quota.throttles).toBe(2);
  });
});

describe("after a clock that was an hour ahead", () => {
  const AHEAD_MS = 3_600_000;

  /** An upstream whose state was written an hour ahead of now, in use. */
  function used(limits: UpstreamLimits, before: (upstream: Upstream) => void): Upstream {
    const upstream = new Upstream(limits);
    upstream.nowMs += AHEAD_MS;
    before(upstream);
    upstream.nowMs -= AHEAD_MS;
    return upstream;
  }

  /** How long a batch that asks when it is told to waits for its first call. */
  function firstCallMs(upstream: Upstream, said: Said = { want: 1 }): number {
    const startMs = upstream.nowMs;
    for (let asks = 0; asks < 10_000; asks += 1) {
      const { startInMs, retryInMs } = upstream.ask("late", said);
      const [first] = startInMs;
      if (first !== undefined) return upstream.nowMs + first - startMs;
      upstream.nowMs += retryInMs ?? 0;
    }
    return Number.POSITIVE_INFINITY;
  }

  test("requests start again within two seconds", () => {
    const upstream = used({ rpm: 600, burst: 10, maxConcurrency: 50 }, (early) => {
      early.ask("a", { want: 20 });
      early.ask("a", {});
    });
    expect(firstCallMs(upstream)).toBeLessThanOrEqual(2_000);
  });

  test("tokens flow again as soon as the largest call's would", () => {
    const upstream = used({ tpm: 6_000_000, maxConcurrency: 50 }, (early) => {
      early.ask("a", { costs: Array(20).fill(100_000) });
      early.ask("a", {});
    });
    expect(firstCallMs(upstream, { costs: [700_000] })).toBeLessThanOrEqual(120_000);
  });

  test("a cooldown is over within a quarter of an hour", () => {
    const upstream = used({ maxConcurrency: 50 }, (early) => {
      early.ask("a", { throttled: { afterMs: 1_000 } });
    });
    const waitMs = firstCallMs(upstream);
    expect(waitMs).toBeGreaterThan(0);
    expect(waitMs).toBeLessThanOrEqual(15 * 60_000);
  });

  test("a cooldown's end does not move while batches ask again and again", () => {
    const upstream = used({ maxConcurrency: 50 }, (early) => {
      early.ask("a", { throttled: { afterMs: 1_000 } });
    });
    upstream.ask("a", {});
    const { cooldownUntilMs } = upstream.quota;
    upstream.nowMs += 60_000;
    upstream.ask("a", {});
    expect(upstream.quota.cooldownUntilMs).toBe(cooldownUntilMs);
  });

  test("the calls and wants of batches that are gone keep nobody waiting", () => {
    const upstream = used({ maxConcurrency: 10 }, (early) => {
      early.ask("gone", { want: 10 });
      early.ask("wants", { want: 10 });
    });
    expect(upstream.grants("late", { want: 10 })).toBe(10);
  });

  test("calls seen a little ahead still count, and then age", () => {
    const upstream = new Upstream({ maxConcurrency: 10 });
    upstream.nowMs += 60_000;
    upstream.ask("a", { want: 10 });
    upstream.nowMs -= 60_000;
    expect(upstream.grants("b", { want: 10 })).toBe(0);
    upstream.nowMs += 60_000 + HOLD_TTL_MS + 1;
    expect(upstream.grants("b", { want: 10 })).toBe(10);
  });

  test("a batch that waited since then does not stand behind all that come after it", () => {
    const upstream = used({ maxConcurrency: 1 }, (early) => {
      early.ask("a", { want: 1 });
      early.ask("b", { want: 1 });
    });
    upstream.ask("a", { held: 1 });
    upstream.ask("b", { want: 1 });
    upstream.nowMs += 10;
    upstream.ask("c", { want: 1 });
    upstream.nowMs += 10;
    upstream.ask("a", {});
    expect(upstream.grants("c", { want: 1 })).toBe(0);
    expect(upstream.grants("b", { want: 1 })).toBe(1);
  });

  test("a batch that only told since then does not either", () => {
    const upstream = used({ maxConcurrency: 1 }, (early) => {
      early.ask("a", { want: 1 });
      early.ask("b", { want: 1 });
    });
    upstream.ask("a", { held: 1 });
    upstream.ask("b", { ready: 1 });
    upstream.nowMs += 10;
    upstream.ask("c", { want: 1 });
    upstream.ask("a", {});
    expect(upstream.grants("c", { want: 1 })).toBe(0);
    expect(upstream.grants("b", { want: 1 })).toBe(1);
  });
});

const HOLD: Hold = {
  held: 0,
  unmet: 0,
  unmetCost: 0,
  weight: 10,
  waitingSinceMs: START_MS,
  seenAtMs: START_MS,
  dueAtMs: START_MS,
  calls: 0,
  tokens: 0,
  fadedAtMs: START_MS,
};

describe("admit", () => {
  test("changes none of what it is given", () => {
    const quota = freshQuota();
    const holds = new Map([["b", { ...HOLD, held: 1, unmet: 2 }]]);
    const ask = {
      batch: "a",
      held: 0,
      weight: 10,
      served: true,
      costs: [10, 10],
      ready: 0,
      extraTokens: 5,
      answered: true,
    };
    const limits = limitsOf({ rpm: 60, tpm: 600, maxConcurrency: 10 });
    admit(quota, holds, limits, { ...ask, throttled: { afterMs: 100 } }, START_MS, 0.5);
    expect(quota).toEqual(freshQuota());
    expect(holds).toEqual(new Map([["b", { ...HOLD, held: 1, unmet: 2 }]]));
  });

  test("says what the asker holds and what it still wants", () => {
    const limits = limitsOf({ maxConcurrency: 5 });
    const ask = {
      batch: "a",
      held: 3,
      weight: 10,
      served: true,
      costs: [1, 1, 1],
      ready: 0,
      extraTokens: 0,
      answered: false,
    };
    const { hold } = admit(freshQuota(), new Map(), limits, ask, START_MS, 0);
    expect(hold).toMatchObject({ held: 5, unmet: 1, unmetCost: 1, waitingSinceMs: START_MS });
    expect(hold).toMatchObject({ weight: 10, seenAtMs: START_MS });
  });

  test("goes by what the asker says it holds, not by what it held", () => {
    const holds = new Map([["a", { ...HOLD, held: 10, unmet: 5 }]]);
    const ask = {
      batch: "a",
      held: 2,
      weight: 10,
      served: true,
      costs: [1, 1, 1],
      ready: 0,
      extraTokens: 0,
      answered: false,
    };
    const { grant } = admit(
      freshQuota(),
      holds,
      limitsOf({ maxConcurrency: 10 }),
      ask,
      START_MS,
      0,
    );
    expect(grant.startInMs).toEqual([0, 0, 0]);
  });
});

describe("a clock that goes back an hour", () => {
  test("takes a small token limit's bucket along, so that nobody waits that hour", () => {
    const limits = limitsOf({ maxConcurrency: 10, tpm: 6_000 });
    const ask = {
      batch: "a",
      held: 0,
      weight: 10,
      served: true,
      costs: [500],
      ready: 1,
      extraTokens: 0,
      answered: false,
    };
    const ahead = START_MS + 3_600_000;
    const { quota } = admit(freshQuota(), new Map(), limits, ask, ahead, 0);
    const { grant } = admit(quota, new Map(), limits, ask, START_MS, 0);
    // What is left of the bucket: the next call waits seconds, as it would have without the jump.
    expect(grant.retryInMs ?? 0).toBeLessThan(10_000);
  });
});

test("calls made in the place of others, without an ask, count as let through when 429s are judged", () => {
  /** The pace after two seconds of 200 calls each, a twentieth of them 429s. */
  const paceWith = (leased: number): number => {
    const upstream = new Upstream({ maxConcurrency: 50 });
    upstream.ask("a", { held: 0, want: 50, ready: 1_000 });
    for (let tenth = 0; tenth < 20; tenth += 1) {
      upstream.nowMs += 100;
      const said = { leased, accepted: 19, refused: 1, throttled: {}, answered: true };
      upstream.ask("a", { held: 49, want: 1, ready: 1_000, ...said });
    }
    return upstream.quota.learned.pace.perMinute ?? Number.POSITIVE_INFINITY;
  };
  expect(paceWith(0)).toBeLessThan(3_000);
  expect(paceWith(19)).toBeGreaterThan(9_000);
});
