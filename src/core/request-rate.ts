import { type BucketState, earliestMs, take } from "./bucket.ts";

/** Requests a minute to the API: a bucket that holds a minute's worth and refills evenly. */

/** What the headers of an answer tell. */
export interface Rate {
  /** Requests a minute. */
  perMinute: number;
  /** Requests that could be made at once now. */
  remaining: number;
  /** Until the bucket is full. */
  fullInMs: number;
}

/** One request: whether it may pass, the state after it, and what to tell of it. */
export type Passing =
  | { passes: true; state: BucketState; rate: Rate }
  | { passes: false; state: BucketState; rate: Rate; waitMs: number };

/** Takes one request out of the bucket if there is one in it. @param perMinute at least 0. */
export function pass(state: BucketState, perMinute: number, nowMs: number): Passing {
  if (perMinute === 0) {
    const rate = { perMinute, remaining: 0, fullInMs: 60_000 };
    return { passes: false, state, rate, waitMs: 60_000 };
  }
  const limits = { perMinute, burst: perMinute };
  // A limit that was lowered, or a clock that went back: no bucket is more than empty.
  const known = { tatMs: Math.min(state.tatMs, nowMs + 60_000) };
  const waitMs = earliestMs(known, limits, 1, nowMs) - nowMs;
  const after = waitMs > 0 ? known : take(known, limits, 1, nowMs);
  const fullInMs = Math.max(0, after.tatMs - nowMs);
  const remaining = Math.max(0, Math.floor(perMinute - (fullInMs * perMinute) / 60_000 + 1e-6));
  const rate = { perMinute, remaining, fullInMs };
  return waitMs > 0
    ? { passes: false, state: after, rate, waitMs }
    : { passes: true, state: after, rate };
}
