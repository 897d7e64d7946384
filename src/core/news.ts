import { type BucketLimits, type BucketState, settle } from "./bucket.ts";
import type { Limits } from "./deal.ts";
import { hear, inForce, type Learned, lowered } from "./learned.ts";
import { granted as grantedAt, isThrottled, paced } from "./pace.ts";
import { type Ask, HORIZON_MS, type Quota } from "./quota.ts";

/** What an ask tells changes a quota: answers and 429s, limits that were told, tokens that were used. */

/** The longest cooldown, whatever the upstream says: then one call finds out whether it still holds. */
export const COOLDOWN_TOLD_MAX_MS = 15 * 60_000;
const COOLDOWN_BASE_MS = 1_000;
const COOLDOWN_MAX_MS = 60_000;
/** Tokens that one call may overdraw the bucket by: more than any model's context. */
const TOKENS_AHEAD = 10_000_000;

/** The quota after what an ask tells, and the limits in force from then on. */
export function afterNews(
  quota: Quota,
  allowed: Limits,
  ask: Ask,
  inFlight: number,
  nowMs: number,
  random: number,
): { next: Quota; limits: Limits } {
  // A clock that went back takes all times told by it along.
  const backMs = Math.max(0, quota.askedAtMs - nowMs);
  const learned = { ...hear(quota.learned, ask.told?.limits, ask.accepted ?? 0, nowMs) };
  const sinceMs = quota.askedAtMs === 0 ? 0 : Math.max(0, nowMs - quota.askedAtMs);
  const restedMs = Math.max(0, Math.min(nowMs, quota.cooldownUntilMs - backMs) - quota.askedAtMs);
  const awakeMs = Math.max(0, sinceMs - restedMs);
  const news = {
    accepted: ask.accepted ?? 0,
    refused: ask.refused ?? 0,
    sinceMs,
    awakeMs,
    inFlight,
  };
  // They were let through as much as those that were asked for.
  if (ask.leased) learned.pace = grantedAt(learned.pace, ask.leased, nowMs, true);
  learned.pace = paced(learned.pace, news, nowMs);
  const limits = inForce(allowed, learned);
  const { requests, tokens } = limits;
  const before = inForce(allowed, quota.learned).requests;
  const requestsThen = resized({ tatMs: quota.requests.tatMs - backMs }, before, requests, nowMs);
  const tokensThen = { tatMs: quota.tokens.tatMs - backMs };
  // Times further ahead than the arithmetic can put them come from a clock that was ahead.
  const next: Quota = {
    requests: requests ? bounded(requestsThen, requests, 1, nowMs) : requestsThen,
    tokens: tokens ? bounded(tokensThen, tokens, TOKENS_AHEAD, nowMs) : tokensThen,
    cooldownUntilMs: Math.min(quota.cooldownUntilMs - backMs, nowMs + COOLDOWN_TOLD_MAX_MS),
    throttles: quota.throttles,
    askedAtMs: nowMs,
    learned,
  };
  if (ask.told) {
    const { limits: told, tookMs } = ask.told;
    if (requests && told.requests)
      next.requests = lowered(next.requests, requests, told.requests, tookMs, nowMs);
    if (tokens && told.tokens)
      next.tokens = lowered(next.tokens, tokens, told.tokens, tookMs, nowMs);
  }
  if (tokens) next.tokens = settle(next.tokens, tokens, ask.extraTokens);
  Object.assign(next, cooled(next, ask, inFlight, nowMs, random));
  return { next, limits };
}

/** The cooldown after what an ask tells of 429s and of answers. */
function cooled(
  { cooldownUntilMs, throttles, learned }: Quota,
  { accepted = 0, answered, throttled }: Ask,
  inFlight: number,
  nowMs: number,
  random: number,
): Pick<Quota, "cooldownUntilMs" | "throttles"> {
  const isOver = nowMs >= cooldownUntilMs;
  // Somebody gets through: where there is a pace, that is what finds the rate, and not longer rests.
  const before = accepted > 0 && learned.pace.perMinute !== null ? 0 : throttles;
  if (throttled && isOfQuota(throttled, learned, inFlight)) {
    const inARow = before + (isOver ? 1 : 0);
    const ceiling = Math.min(COOLDOWN_MAX_MS, COOLDOWN_BASE_MS * 2 ** (inARow - 1));
    // At least half the ceiling: a cooldown near zero would storm the upstream again at once.
    const restMs = throttled.afterMs ?? ceiling * (0.5 + random / 2);
    const untilMs = nowMs + Math.min(restMs, COOLDOWN_TOLD_MAX_MS);
    return { cooldownUntilMs: Math.max(cooldownUntilMs, untilMs), throttles: inARow };
  }
  return { cooldownUntilMs, throttles: answered && isOver ? 0 : before };
}

/**
 * The state of a bucket whose size changed: it holds what it held. Else the whole burst of a limit
 * would be free whenever a stricter one with a small burst is dropped; and sizes that are read off
 * headers change by one and back all the time, which must cost nothing.
 */
function resized(
  state: BucketState,
  before: BucketLimits | undefined,
  now: BucketLimits | undefined,
  nowMs: number,
): BucketState {
  if (before === undefined || now === undefined || now.burst === before.burst) return state;
  const missing = (Math.max(0, state.tatMs - nowMs) * before.perMinute) / 60_000;
  const held = Math.min(before.burst - missing, now.burst);
  return { tatMs: nowMs + ((now.burst - held) * 60_000) / now.perMinute };
}

/** A wait that was told and is longer than this is about the quota, whatever else is answered. */
const TOLD_SHORT_MS = 2_000;

/**
 * Whether a 429 rests the quota. One of many calls that are answered does not: it is about that
 * call, or the rate is only a little too high, and the pace sees to that.
 */
function isOfQuota(
  { afterMs = 0 }: { afterMs?: number | undefined },
  { pace }: Learned,
  inFlight: number,
): boolean {
  return afterMs > TOLD_SHORT_MS || isThrottled(pace, inFlight);
}

function bounded(
  state: BucketState,
  limits: BucketLimits,
  largestCost: number,
  nowMs: number,
): BucketState {
  const aheadMs = ((limits.burst + largestCost) * 60_000) / limits.perMinute + HORIZON_MS;
  return { tatMs: Math.min(state.tatMs, nowMs + aheadMs) };
}
