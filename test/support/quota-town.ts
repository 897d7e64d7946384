import { admit } from "../../src/core/admission.ts";
import { limitsOf, type UpstreamLimits } from "../../src/core/limits.ts";
import { freshQuota, type Hold, type Quota } from "../../src/core/quota.ts";
import type { Told } from "../../src/core/told-limits.ts";
import { TokenBucket } from "../../src/simulator/token-bucket.ts";

/** An upstream as `runAgainst` plays it. */
export interface Played {
  /** Requests a second, and how many at once; none when absent. A function of the time. */
  perSecond?: ((nowMs: number) => number) | undefined;
  burst?: number;
  /** Calls let in at one time. */
  concurrency?: number;
  latencyMs(n: number): number;
  /** Whether a call gets a 429 that has nothing to do with limits. */
  fault?(n: number): boolean;
  /** What a 429 says of when to come back. */
  retryAfterMs?: number;
  /** Whether answers tell the bucket in their headers. */
  tells?: boolean;
}

/** What became of the calls, second by second. */
export interface Run {
  answered: number[];
  refused: number[];
  quota: Quota;
}

/**
 * Runs one batch that has more calls than there is time for against a played upstream, through the
 * arithmetic of a quota, in time that is counted and does not pass. A refused call is answered after
 * 2 ms, and its task comes again later.
 */
export function runAgainst(
  played: Played,
  limits: UpstreamLimits,
  { seconds, lanes, quota = freshQuota() }: { seconds: number; lanes: number; quota?: Quota },
): Run {
  const holds = new Map<string, Hold>();
  const inForce = limitsOf(limits);
  const run: Run = {
    answered: Array<number>(seconds).fill(0),
    refused: Array<number>(seconds).fill(0),
    quota,
  };
  const startMs = 1_800_000_000_000;
  let bucket: TokenBucket | undefined;
  let rate = 0;
  let letIn = 0;
  let calls = 0;
  let held = 0;
  const ends: { atMs: number; status: number; told?: Told; tookMs: number }[] = [];
  const starts: number[] = [];
  let news = {
    accepted: 0,
    refused: 0,
    told: undefined as { limits: Told; tookMs: number } | undefined,
  };
  let throttled: { afterMs?: number | undefined } | undefined;
  let askAtMs = startMs;
  for (let nowMs = startMs; nowMs < startMs + seconds * 1_000; nowMs += 1) {
    const second = Math.floor((nowMs - startMs) / 1_000);
    const wanted = played.perSecond?.(nowMs - startMs);
    if (wanted !== undefined && wanted !== rate) {
      bucket = new TokenBucket(wanted * 60, played.burst ?? wanted, nowMs);
      rate = wanted;
    }
    for (let at = starts.length - 1; at >= 0; at -= 1) {
      if ((starts[at] ?? 0) > nowMs) continue;
      starts.splice(at, 1);
      calls += 1;
      const over = played.concurrency !== undefined && letIn >= played.concurrency;
      const dry = bucket !== undefined && bucket.waitMs(1, nowMs) > 0;
      if (over || dry || played.fault?.(calls) === true) {
        ends.push({ atMs: nowMs + 2, status: 429, tookMs: 2 });
        continue;
      }
      bucket?.take(1, nowMs);
      letIn += 1;
      const told =
        played.tells && bucket
          ? {
              requests: {
                limit: bucket.perMinute,
                remaining: Math.floor(bucket.level(nowMs)),
                resetMs: Math.ceil(bucket.resetMs(nowMs)),
              },
            }
          : undefined;
      const tookMs = played.latencyMs(calls);
      ends.push({ atMs: nowMs + tookMs, status: 200, tookMs, ...(told ? { told } : {}) });
    }
    for (let at = ends.length - 1; at >= 0; at -= 1) {
      const end = ends[at];
      if (end === undefined || end.atMs > nowMs) continue;
      ends.splice(at, 1);
      held -= 1;
      askAtMs = Math.min(askAtMs, nowMs);
      if (end.status === 429) {
        news.refused += 1;
        throttled = { afterMs: played.retryAfterMs };
        run.refused[second] = (run.refused[second] ?? 0) + 1;
      } else {
        letIn -= 1;
        news.accepted += 1;
        run.answered[second] = (run.answered[second] ?? 0) + 1;
        if (end.told) news.told = { limits: end.told, tookMs: end.tookMs };
      }
    }
    if (nowMs < askAtMs) continue;
    const admitted = admit(
      run.quota,
      holds,
      inForce,
      {
        batch: "b",
        held,
        weight: 10,
        costs: Array<number>(lanes - held).fill(1),
        ready: 1_000,
        served: true,
        extraTokens: 0,
        answered: news.accepted > 0,
        throttled,
        ...news,
      },
      nowMs,
      0.5,
    );
    run.quota = admitted.quota;
    holds.set("b", admitted.hold);
    held += admitted.grant.startInMs.length;
    for (const inMs of admitted.grant.startInMs) starts.push(nowMs + inMs);
    news = { accepted: 0, refused: 0, told: undefined };
    throttled = undefined;
    askAtMs = nowMs + Math.max(1, Math.min(admitted.grant.retryInMs ?? 500, 500));
  }
  return run;
}
