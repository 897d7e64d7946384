import { beforeEach, describe, expect, test } from "vitest";
import { admit } from "../../src/core/admission.ts";
import { limitsOf, type UpstreamLimits } from "../../src/core/limits.ts";
import { freshQuota, HOLD_TTL_MS, HORIZON_MS } from "../../src/core/quota.ts";
import { type Said, START_MS, Upstream } from "../support/quota.ts";

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
