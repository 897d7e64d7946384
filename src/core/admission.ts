import { type BucketLimits, type BucketState, earliestMs, settle, take } from "./bucket.ts";

/**
 * The arithmetic of an upstream's quota: requests a minute, tokens a minute, calls in flight and
 * the cooldown after a 429, shared by the batches that compete. Pure: state in, state out.
 */

/** An upstream's limits as configured; a limit that is absent is not enforced. */
export interface UpstreamLimits {
  /** Requests a minute. */
  rpm?: number | undefined;
  /** Tokens a minute. */
  tpm?: number | undefined;
  /** Requests that may start at once. */
  burst?: number | undefined;
  /** Calls in flight. */
  maxConcurrency: number;
}

/** One batch's part of the quota, as the batch itself last said it. */
export interface Hold {
  /** Calls in flight, those permitted but not begun included. */
  held: number;
  /** Calls it asked for and did not get. Room is kept for them, up to its fair share. */
  unmet: number;
  seenAtMs: number;
}

/** A quota's shared state, apart from the holds. */
export interface Quota {
  requests: BucketState;
  tokens: BucketState;
  /** Nothing starts before this time. */
  cooldownUntilMs: number;
  /** 429s in a row, a burst of them counted once. */
  throttles: number;
}

/** What a batch says and asks. Absolute, so a lost message heals with the next one. */
export interface Ask {
  batch: string;
  held: number;
  /** Reserved tokens of each call wanted, in order. */
  costs: number[];
  /** Tokens used beyond what was reserved for finished calls; negative when fewer. */
  extraTokens: number;
  /** A 429 since the last ask, and how long the upstream said to wait. */
  throttled?: { afterMs?: number | undefined } | undefined;
  /** A call was answered 2xx since the last ask. */
  answered: boolean;
}

/** The answer: how long each granted call waits before it starts, in the order asked. */
export interface Grant {
  startInMs: number[];
  /** When asking again for the rest makes sense, by time alone; null when all was granted. */
  retryInMs: number | null;
}

/** How far ahead a permit may lie. Far enough to bridge a round trip, short enough to stay fair. */
export const HORIZON_MS = 250;
/** A hold nobody confirmed for this long belongs to a batch that is gone. */
export const HOLD_TTL_MS = 90_000;
/** Room is kept for an unmet ask this long; a batch that still wants it asks again before. */
export const UNMET_TTL_MS = 5_000;
/** When the calls in flight are at their limit, ask again after this long. */
const FULL_RETRY_MS = 250;
const COOLDOWN_BASE_MS = 1_000;
const COOLDOWN_MAX_MS = 60_000;
/**
 * Part of the configured burst and rate that is used. The rest absorbs that calls arrive a little
 * earlier or later than they were permitted: without it a late first call makes the next ones early.
 */
const BURST_USED = 0.7;
const RATE_USED = 0.99;
/** Seconds' worth of tokens that may be taken at once. */
const TOKEN_BURST_S = 10;

/** The requests bucket of these limits, or undefined when requests are not limited. */
export function requestLimits(limits: UpstreamLimits): BucketLimits | undefined {
  if (limits.rpm === undefined) return undefined;
  const burst = limits.burst ?? Math.ceil(limits.rpm / 60);
  return { perMinute: limits.rpm * RATE_USED, burst: Math.max(1, Math.floor(burst * BURST_USED)) };
}

/** The tokens bucket of these limits, or undefined when tokens are not limited. */
export function tokenLimits(limits: UpstreamLimits): BucketLimits | undefined {
  if (limits.tpm === undefined) return undefined;
  return {
    perMinute: limits.tpm * RATE_USED,
    burst: Math.max(1, (limits.tpm / 60) * TOKEN_BURST_S * BURST_USED),
  };
}

/** The state of a quota that was never used. */
export function freshQuota(): Quota {
  return { requests: { tatMs: 0 }, tokens: { tatMs: 0 }, cooldownUntilMs: 0, throttles: 0 };
}

/**
 * Grants what an ask may have now.
 *
 * @param holds every batch's hold; the asker's own entry is replaced in the returned one.
 * @param random in [0, 1), for the length of a cooldown the upstream gave no time for.
 */
export function admit(
  quota: Quota,
  holds: ReadonlyMap<string, Hold>,
  limits: UpstreamLimits,
  ask: Ask,
  nowMs: number,
  random: number,
): { quota: Quota; hold: Hold; grant: Grant } {
  const requests = requestLimits(limits);
  const tokens = tokenLimits(limits);
  const next = afterNews(quota, ask, tokens, nowMs, random);

  const room = roomFor(holds, limits.maxConcurrency, ask, nowMs);
  const startInMs: number[] = [];
  let waitMs = FULL_RETRY_MS;
  for (const cost of ask.costs.slice(0, room)) {
    let at = Math.max(nowMs, next.cooldownUntilMs);
    if (requests) at = earliestMs(next.requests, requests, 1, at);
    if (tokens) at = earliestMs(next.tokens, tokens, cost, at);
    if (at - nowMs > HORIZON_MS) {
      waitMs = at - nowMs - HORIZON_MS / 2;
      break;
    }
    if (requests) next.requests = take(next.requests, requests, 1, at);
    if (tokens) next.tokens = take(next.tokens, tokens, cost, at);
    startInMs.push(at - nowMs);
  }
  const granted = startInMs.length;
  const unmet = ask.costs.length - granted;
  return {
    quota: next,
    hold: { held: ask.held + granted, unmet, seenAtMs: nowMs },
    grant: { startInMs, retryInMs: unmet === 0 ? null : Math.max(1, Math.ceil(waitMs)) },
  };
}

function afterNews(
  quota: Quota,
  ask: Ask,
  tokens: BucketLimits | undefined,
  nowMs: number,
  random: number,
): Quota {
  const next: Quota = { ...quota };
  if (tokens) next.tokens = settle(next.tokens, tokens, ask.extraTokens);
  if (ask.answered && nowMs >= next.cooldownUntilMs) next.throttles = 0;
  if (ask.throttled) {
    if (nowMs >= next.cooldownUntilMs) next.throttles += 1;
    const ceiling = Math.min(COOLDOWN_MAX_MS, COOLDOWN_BASE_MS * 2 ** (next.throttles - 1));
    // At least half the ceiling: a cooldown near zero would storm the upstream again at once.
    const restMs = ask.throttled.afterMs ?? ceiling * (0.5 + random / 2);
    next.cooldownUntilMs = Math.max(next.cooldownUntilMs, nowMs + restMs);
  }
  return next;
}

/**
 * Calls the asker may add. Up to its fair share (the limit divided by the batches that have or want
 * calls) whatever is free; beyond it, what is free less what is kept for the unmet asks of others.
 */
function roomFor(
  holds: ReadonlyMap<string, Hold>,
  maxConcurrency: number,
  ask: Ask,
  nowMs: number,
): number {
  let free = maxConcurrency - ask.held;
  const others: Hold[] = [];
  for (const [batch, hold] of holds) {
    if (batch === ask.batch || nowMs - hold.seenAtMs > HOLD_TTL_MS) continue;
    const unmet = nowMs - hold.seenAtMs > UNMET_TTL_MS ? 0 : hold.unmet;
    if (hold.held === 0 && unmet === 0) continue;
    free -= hold.held;
    others.push({ ...hold, unmet });
  }
  const share = Math.ceil(maxConcurrency / (others.length + 1));
  let kept = 0;
  for (const other of others) {
    kept += Math.max(0, Math.min(share, other.held + other.unmet) - other.held);
  }
  return Math.max(0, Math.min(free, share - ask.held), free - kept);
}
