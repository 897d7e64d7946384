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
  requests: ToldBucket | null;
  tokens: ToldBucket | null;
  /** When they were last told; 0 is never. */
  toldAtMs: number;
  /** Calls in flight that were found to do no harm. */
  open: number;
  /** Whether `open` was what held calls back when last asked. */
  held: boolean;
  pace: Pace;
}

/** A bucket, and the limit by which headers named it, in a window of theirs. */
interface ToldBucket extends BucketLimits {
  limit?: number | undefined;
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

/** Of a rate, what is used. */
const RATE_USED = 0.99;
/**
 * What is left of a burst: calls arrive this much earlier or later than they were permitted, and a
 * late first one makes the next ones early. No more than this part of a small burst.
 */
const BURST_LEFT_S = 0.3;
const BURST_LEFT_SHARE = 0.3;

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
    const perMs = limit / windowMs;
    const full = remaining + perMs * resetMs;
    // A time in whole milliseconds is as many units off as come in one. A second is the only window
    // that allows more than a minute's: it has to fit without.
    const rounding = windowMs < MINUTE_MS ? 0 : perMs;
    if (Math.abs(full - limit) <= slack + rounding) {
      return { perMinute: (limit * MINUTE_MS) / windowMs, burst: limit };
    }
  }
  const filled = remaining + (limit / MINUTE_MS) * resetMs;
  return { perMinute: limit, burst: Math.max(1, Math.min(limit, Math.round(filled))) };
}

/** What was told is forgotten when answers have said nothing of it for so long. */
const TOLD_TTL_MS = 10 * MINUTE_MS;

/**
 * What answers' headers add. A full bucket says nothing of its window: it is taken for the one that
 * is known, with the limit as it is now.
 *
 * @param answered calls that were answered since the last time.
 */
export function hear(
  learned: Learned,
  told: Told | undefined,
  answered: number,
  nowMs: number,
): Learned {
  if (told === undefined) {
    const isStale = answered > 0 && nowMs - learned.toldAtMs > TOLD_TTL_MS;
    return isStale ? { ...learned, requests: null, tokens: null } : learned;
  }
  const hearOne = (known: ToldBucket | null, reading: Reading | undefined): ToldBucket | null => {
    if (reading === undefined) return known;
    const { limit, remaining } = reading;
    if (known === null || remaining < limit) return { ...bucketOf(reading), limit };
    // Of a bucket from before limits were kept, this one is taken for the limit that it was told by.
    const by = limit / (known.limit ?? limit);
    return { perMinute: known.perMinute * by, burst: Math.max(1, known.burst * by), limit };
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
  const told = stricter(limits.requests, learned.requests && usedOf(learned.requests));
  const requests = stricter(told, paceOf(learned.pace));
  const tokens = stricter(limits.tokens, learned.tokens && usedOf(learned.tokens));
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

/** What is used of a bucket, just below what it allows. */
export function usedOf({ perMinute, burst }: BucketLimits): BucketLimits {
  const left = Math.min(burst * BURST_LEFT_SHARE, (perMinute / 60) * BURST_LEFT_S);
  return { perMinute: perMinute * RATE_USED, burst: Math.max(1, Math.floor(burst - left)) };
}

function stricter(
  a: BucketLimits | undefined,
  b: BucketLimits | null | undefined,
): BucketLimits | undefined {
  if (!a || !b) return a ?? b ?? undefined;
  return { perMinute: Math.min(a.perMinute, b.perMinute), burst: Math.min(a.burst, b.burst) };
}
