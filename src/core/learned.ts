import type { BucketLimits, BucketState } from "./bucket.ts";
import type { Limits } from "./deal.ts";
import { freshPace, type Pace, paceOf } from "./pace.ts";
import type { Reading, Told } from "./told-limits.ts";

/**
 * What a quota finds out about the limits of its upstream by itself: from the headers of answers,
 * from 429s (pace.ts), and, while it knows nothing, by beginning with few calls. Pure.
 */

/** All that was found out. */
export interface Learned {
  /** The buckets that headers told of. */
  requests: BucketLimits | null;
  tokens: BucketLimits | null;
  /** When they were last told; 0 is never. */
  toldAtMs: number;
  /** Calls in flight that were found to do no harm. */
  open: number;
  /** Whether `open` was what held calls back when last asked. */
  held: boolean;
  pace: Pace;
}

/** The state of a quota whose upstream was never called. */
export function nothingLearned(): Learned {
  return {
    requests: null,
    tokens: null,
    toldAtMs: 0,
    open: OPEN_FIRST,
    held: false,
    pace: freshPace(),
  };
}

/**
 * Calls in flight to begin with, where nobody said what is fine, as TCP begins with ten segments
 * (RFC 6928): the first answers say more than any guess. Each answer makes it one more.
 */
export const OPEN_FIRST = 10;

/**
 * Part of a burst and of a rate that is used. The rest absorbs that calls arrive a little earlier or
 * later than they were permitted: without it a late first call makes the next ones early.
 */
export const BURST_USED = 0.7;
export const RATE_USED = 0.99;

const MINUTE_MS = 60_000;
/** Windows that limits are told for. A minute is what both APIs document. */
const WINDOWS_MS = [MINUTE_MS, 1_000, 3_600_000, 86_400_000];
/** Readings are whole units and milliseconds: a window fits within so much. */
const SLACK_UNITS = 1.5;
const SLACK_SHARE = 0.02;

/**
 * The bucket that a reading tells of. `reset` is the time to a full bucket, so limit, remaining and
 * reset name its window: the one with `remaining + rate × reset = limit`. Where none fits, the rate
 * is the limit a minute, and the bucket holds what it is said to be filled with by then (a server
 * may hold less than its limit, or count in fixed windows).
 */
export function bucketOf({ limit, remaining, resetMs }: Reading): BucketLimits {
  const slack = SLACK_UNITS + SLACK_SHARE * (limit - remaining);
  for (const windowMs of WINDOWS_MS) {
    const full = remaining + (limit / windowMs) * resetMs;
    if (Math.abs(full - limit) <= slack) {
      return { perMinute: (limit * MINUTE_MS) / windowMs, burst: limit };
    }
  }
  const filled = remaining + (limit / MINUTE_MS) * resetMs;
  return { perMinute: limit, burst: Math.max(1, Math.min(limit, Math.round(filled))) };
}

/** What an answer's headers add. A full bucket says nothing of its window. */
export function hear(learned: Learned, told: Told | undefined, nowMs: number): Learned {
  if (told === undefined) return learned;
  const hearOne = (known: BucketLimits | null, reading: Reading | undefined) => {
    if (reading === undefined) return known;
    if (known !== null && reading.remaining >= reading.limit) return known;
    return bucketOf(reading);
  };
  return {
    ...learned,
    requests: hearOne(learned.requests, told.requests),
    tokens: hearOne(learned.tokens, told.tokens),
    toldAtMs: nowMs,
  };
}

/**
 * The state of a bucket that holds no more than a reading allows. Others may use the same key: what
 * remained when the call was let in, and what has come in since, is the most there can be.
 */
export function lowered(
  state: BucketState,
  limits: BucketLimits,
  reading: Reading,
  sinceMs: number,
  nowMs: number,
): BucketState {
  const most = reading.remaining + (limits.perMinute * sinceMs) / MINUTE_MS;
  const missing = limits.burst - most;
  if (missing <= 0) return state;
  return { tatMs: Math.max(state.tatMs, nowMs + (missing * MINUTE_MS) / limits.perMinute) };
}

/** The limits in force: the stricter of what was configured, what headers told and what 429s taught. */
export function inForce(limits: Limits, learned: Learned): Limits {
  const told = stricter(limits.requests, usedOf(learned.requests));
  const requests = stricter(told, paceOf(learned.pace));
  const tokens = stricter(limits.tokens, usedOf(learned.tokens));
  const careful = limits.probes === true && requests === undefined && tokens === undefined;
  return {
    requests,
    tokens,
    maxConcurrency: careful ? Math.min(limits.maxConcurrency, learned.open) : limits.maxConcurrency,
    probes: careful,
  };
}

/** After an ask: so many calls were answered, and this is what kept the rest waiting. */
export function opened(learned: Learned, answered: number, held: boolean, most: number): Learned {
  const grown = learned.held ? learned.open + answered : learned.open;
  return { ...learned, open: Math.min(grown, Math.max(most, OPEN_FIRST)), held };
}

function usedOf(bucket: BucketLimits | null): BucketLimits | undefined {
  if (bucket === null) return undefined;
  const burst = Math.max(1, Math.floor(bucket.burst * BURST_USED));
  return { perMinute: bucket.perMinute * RATE_USED, burst };
}

function stricter(a: BucketLimits | undefined, b: BucketLimits | undefined) {
  if (a === undefined || b === undefined) return a ?? b;
  return { perMinute: Math.min(a.perMinute, b.perMinute), burst: Math.min(a.burst, b.burst) };
}
