/**
 * A token bucket as the generic cell rate algorithm (ITU-T I.371): one number instead of a level
 * and a clock. `tatMs` is the theoretical arrival time: when the bucket will be full again.
 */

/** How fast a bucket refills and how much it holds, in its own unit (requests, or tokens). */
export interface BucketLimits {
  perMinute: number;
  burst: number;
}

/** A bucket's state. 0 is a bucket that has been full for ever. */
export interface BucketState {
  tatMs: number;
}

const intervalMs = (limits: BucketLimits) => 60_000 / limits.perMinute;

/**
 * The earliest time, not before `nowMs`, at which `cost` units may be taken. A cost above the burst
 * waits for a full bucket and then overdraws it, or it could never go.
 */
export function earliestMs(
  state: BucketState,
  limits: BucketLimits,
  cost: number,
  nowMs: number,
): number {
  const interval = intervalMs(limits);
  const depth = limits.burst - Math.min(cost, limits.burst);
  return Math.max(nowMs, state.tatMs - depth * interval);
}

/** The state after `cost` units were taken at `atMs`. */
export function take(
  state: BucketState,
  limits: BucketLimits,
  cost: number,
  atMs: number,
): BucketState {
  return { tatMs: Math.max(state.tatMs, atMs) + cost * intervalMs(limits) };
}

/** The state after a reservation turned out to need `extra` more units, or fewer (negative). */
export function settle(state: BucketState, limits: BucketLimits, extra: number): BucketState {
  return { tatMs: Math.max(0, state.tatMs + extra * intervalMs(limits)) };
}
