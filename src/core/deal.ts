import { type BucketLimits, type BucketState, earliestMs, take } from "./bucket.ts";

/**
 * Who gets the next calls of a quota. They are dealt one by one to whoever has the smallest share of
 * what the quota gives: the largest of its shares of the calls in flight, of the requests and of the
 * tokens of the last seconds (dominant resource fairness, Ghodsi et al., NSDI 2011), divided by its
 * weight; among equals to who has waited longest. Pure.
 */

/** What a quota gives. A limit that is absent is not enforced. */
export interface Limits {
  requests: BucketLimits | undefined;
  tokens: BucketLimits | undefined;
  /** Calls in flight. */
  maxConcurrency: number;
  /** While no rate is known it begins with few calls in flight; see learned.ts. */
  probes?: boolean | undefined;
}

/** Both buckets. */
export interface Buckets {
  requests: BucketState;
  tokens: BucketState;
}

/** How much of the quota somebody has. */
export interface Having {
  /** Calls in flight. */
  held: number;
  /** Calls and tokens of the last seconds, faded. */
  calls: number;
  tokens: number;
}

/** One that wants calls. */
export interface Player extends Having {
  weight: number;
  waitingSinceMs: number;
  /** What it has together with others, if it counts as one with them. */
  together?: Having;
}

/** Calls and tokens of the last seconds fade over this time. */
export const FADE_MS = 2_000;

/**
 * A player's share of the quota as it is, whatever its next call costs: one whose calls cost much
 * has its turn, too, and the others wait while the tokens for it come together.
 */
export function shareOf(player: Player, limits: Limits): number {
  const has = player.together ?? player;
  let share = has.held / limits.maxConcurrency;
  const { requests, tokens } = limits;
  if (requests) share = Math.max(share, partOf(has.calls, requests));
  if (tokens) share = Math.max(share, partOf(has.tokens, tokens));
  return share / player.weight;
}

/** Units of the last seconds as a part of what the bucket gives in that time. */
function partOf(units: number, { perMinute }: BucketLimits): number {
  return (units * 60_000) / (perMinute * FADE_MS);
}

/** The earliest time at which a call may start by both buckets. */
export function startMs(
  buckets: Buckets,
  limits: Limits,
  cost: number,
  notBeforeMs: number,
): number {
  let at = notBeforeMs;
  if (limits.requests) at = earliestMs(buckets.requests, limits.requests, 1, at);
  if (limits.tokens) at = earliestMs(buckets.tokens, limits.tokens, cost, at);
  return at;
}

/** Both buckets after a call has taken from them. */
export function takeCall(buckets: Buckets, limits: Limits, cost: number, at: number): Buckets {
  return {
    requests: limits.requests ? take(buckets.requests, limits.requests, 1, at) : buckets.requests,
    tokens: limits.tokens ? take(buckets.tokens, limits.tokens, cost, at) : buckets.tokens,
  };
}

/** One that wants calls, and how many. */
export interface Claimant extends Player {
  /** Calls it still wants. */
  wants: number;
  /** Tokens of its next call. */
  nextCost(): number;
}

/** One call dealt: to whom, and when it could start. */
export interface Dealt<T> {
  to: T;
  cost: number;
  atMs: number;
}

/** More calls are not dealt at once: nobody looks further ahead. */
const DEALT_MAX = 20_000;

/**
 * Deals calls until nobody wants one, none is free, or `stop` says so. The claimants' own numbers
 * are changed on the way: pass copies.
 */
export function* deal<T extends Claimant>(
  claimants: readonly T[],
  buckets: Buckets,
  limits: Limits,
  free: number,
  notBeforeMs: number,
): Generator<Dealt<T>, void> {
  let ahead = buckets;
  const round = [...claimants];
  for (let dealt = 0; dealt < Math.min(free, DEALT_MAX); dealt += 1) {
    let first: T | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const claimant of round) {
      if (claimant.wants <= 0) continue;
      const share = shareOf(claimant, limits);
      const longer = first !== undefined && claimant.waitingSinceMs < first.waitingSinceMs;
      if (share < least || (share === least && longer)) {
        first = claimant;
        least = share;
      }
    }
    if (first === undefined) return;
    const cost = first.nextCost();
    const atMs = startMs(ahead, limits, cost, notBeforeMs);
    ahead = takeCall(ahead, limits, cost, atMs);
    yield { to: first, cost, atMs };
    first.wants -= 1;
    const has = first.together ?? first;
    has.held += 1;
    has.calls += 1;
    has.tokens += cost;
  }
}
