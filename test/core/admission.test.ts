import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { admit } from "../../src/core/admission.ts";
import { limitsOf, requestLimits, tokenLimits } from "../../src/core/limits.ts";
import { freshQuota, HOLD_TTL_MS, HORIZON_MS, type Hold } from "../../src/core/quota.ts";
import { Crowd, START_MS, Upstream, worstWindow } from "../support/quota.ts";

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
          const costs = Array<number>(200).fill(cost);
          let grant = upstream.ask("a", { costs });
          if (grant.startInMs.length === 0) {
            // It was to ask whether what was in flight gave tokens back; now nothing is in flight.
            upstream.nowMs += grant.retryInMs ?? 0;
            grant = upstream.ask("a", { costs });
          }
          expect(grant.startInMs.length).toBeGreaterThan(0);
          if (of.tpm < of.rpm * cost) expect(grant.retryInMs).toBeLessThanOrEqual(5_000);
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
