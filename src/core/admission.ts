import { type BucketLimits, type BucketState, settle } from "./bucket.ts";
import { type Claimant, deal, FADE_MS, type Limits, startMs, takeCall } from "./deal.ts";
import { hear, inForce, type Learned, lowered, nothingLearned, opened } from "./learned.ts";
import { granted as grantedAt, isThrottled, paced } from "./pace.ts";
import type { Told } from "./told-limits.ts";

/**
 * The arithmetic of a quota: requests a minute, tokens a minute, calls in flight and the cooldown
 * after a 429, shared by the batches that compete. Pure: state in, state out. What the limits are is
 * in limits.ts, what is found out of them in learned.ts, who gets a call in deal.ts.
 */

/** One batch's part of the quota, as the batch itself last said it. */
export interface Hold {
  /** Calls in flight, those permitted but not begun included. */
  held: number;
  /** Calls it asked for and did not get. */
  unmet: number;
  /** Estimated tokens of the first of those. */
  unmetCost: number;
  weight: number;
  /** Since when it has waited for its next call. */
  waitingSinceMs: number;
  seenAtMs: number;
  /**
   * When it is expected to ask again: calls dealt to it are kept until a little later. 0 when nobody
   * serves it.
   */
  dueAtMs: number;
  /** Calls and tokens it was granted, fading from `fadedAtMs` on. */
  calls: number;
  tokens: number;
  fadedAtMs: number;
}

/** A quota's shared state, apart from the holds. */
export interface Quota {
  requests: BucketState;
  tokens: BucketState;
  /** Nothing starts before this time. */
  cooldownUntilMs: number;
  /** 429s in a row, a burst of them counted once. */
  throttles: number;
  /** The time of the last ask, by the clock that all times here are told by. */
  askedAtMs: number;
  learned: Learned;
}

/** What a batch says and asks. Absolute, so a lost message heals with the next one. */
export interface Ask {
  batch: string;
  held: number;
  weight: number;
  /** Reserved tokens of each call wanted, in order. */
  costs: number[];
  /**
   * Calls that the batch could make beyond `costs`. With no costs it only tells, and waits for as
   * many: it is called when one is kept for it.
   */
  ready: number;
  /** Somebody makes the batch's calls: for one that nobody serves no call is kept. */
  served: boolean;
  /** Calls made since the last ask without one, in the place of others; see limiter/leases.ts. */
  leased?: number | undefined;
  /** Tokens used beyond what was reserved for finished calls; negative when fewer. */
  extraTokens: number;
  /** A 429 since the last ask, and how long the upstream said to wait. */
  throttled?: { afterMs?: number | undefined } | undefined;
  /** A call was answered 2xx since the last ask. */
  answered: boolean;
  /** Answers since the last ask: all but 429s, and 429s. */
  accepted?: number | undefined;
  refused?: number | undefined;
  /** What the headers of the latest answer told, and how long its call took. */
  told?: { limits: Told; tookMs: number } | undefined;
}

/** The answer: how long each granted call waits before it starts, in the order asked. */
export interface Grant {
  startInMs: number[];
  /** When asking again for the rest makes sense, by time alone; null when all was granted. */
  retryInMs: number | null;
  /**
   * What the rest waits for: a rate, which comes with time; or calls in flight, one of which the
   * asker itself may end. Null when all was granted.
   */
  blockedBy: "rate" | "calls" | null;
  /** Others wait, too: who wants more calls is called when it is its turn. */
  contended: boolean;
}

/** How far ahead a permit may lie. Far enough to bridge a round trip, short enough to stay fair. */
export const HORIZON_MS = 250;
/** A hold nobody confirmed for this long belongs to a batch that is gone. */
export const HOLD_TTL_MS = 90_000;
/** Calls dealt to a batch are kept for it this long after it was to come, and then given to others. */
export const KEEP_MS = 500;
/** A batch that is to come later than this is called when calls are dealt to it. */
const SOON_MS = 150;
/** When the calls in flight are at their limit: a batch is called before, unless that is lost. */
export const FULL_RETRY_MS = 10_000;
/** The longest cooldown, whatever the upstream says: then one call finds out whether it still holds. */
const COOLDOWN_TOLD_MAX_MS = 15 * 60_000;
const COOLDOWN_BASE_MS = 1_000;
const COOLDOWN_MAX_MS = 60_000;

/** The state of a quota that was never used. */
export function freshQuota(): Quota {
  return {
    requests: { tatMs: 0 },
    tokens: { tatMs: 0 },
    cooldownUntilMs: 0,
    throttles: 0,
    askedAtMs: 0,
    learned: nothingLearned(),
  };
}

/** What an ask changes. */
export interface Admitted {
  quota: Quota;
  /** The asker's hold from now on. */
  hold: Hold;
  grant: Grant;
  /** Batches that calls are kept for and that do not know: to be told to ask. */
  called: string[];
}

/**
 * Grants what an ask may have now.
 *
 * @param holds every batch's hold; the asker's own entry is replaced by the returned one.
 * @param random in [0, 1), for the length of a cooldown the upstream gave no time for.
 */
export function admit(
  quota: Quota,
  holds: ReadonlyMap<string, Hold>,
  allowed: Limits,
  ask: Ask,
  nowMs: number,
  random: number,
): Admitted {
  const inFlight = [...holds].reduce(
    (sum, [batch, hold]) => sum + (batch === ask.batch || isGone(hold, nowMs) ? 0 : hold.held),
    ask.held,
  );
  const { next, limits } = afterNews(quota, allowed, ask, inFlight, nowMs, random);
  const before = holds.get(ask.batch);
  const asker = askerOf(ask, before, nowMs);
  const rivals = rivalsOf(holds, ask.batch, nowMs);
  const free = Math.max(0, limits.maxConcurrency - inFlight);
  const notBeforeMs = Math.max(nowMs, next.cooldownUntilMs);

  const tells = ask.costs.length === 0;
  const startInMs: number[] = [];
  const called = new Set<string>();
  let retryInMs = FULL_RETRY_MS;
  let blockedBy: Grant["blockedBy"] = tells ? null : "calls";
  for (const { to, cost, atMs } of deal([asker, ...rivals], next, limits, free, notBeforeMs)) {
    const isSoon = atMs - nowMs <= HORIZON_MS;
    if (to !== asker || tells) {
      if (isSoon && to.dueAtMs > nowMs + SOON_MS) called.add(to.batch);
      // Nobody comes after the asker's last call: the others only matter while they are ahead.
      if (!isSoon && blockedBy === null) break;
      continue;
    }
    if (!isSoon) {
      // The first that must wait says when to come; those behind it come later still.
      blockedBy = "rate";
      retryInMs = atMs - nowMs - HORIZON_MS / 2;
      break;
    }
    // By the buckets as they are: what is kept for others is not taken from them yet.
    const at = startMs(next, limits, cost, notBeforeMs);
    Object.assign(next, takeCall(next, limits, cost, at));
    startInMs.push(at - nowMs);
    if (startInMs.length === ask.costs.length) blockedBy = null;
  }

  const granted = startInMs.length;
  const contended = rivals.length > 0;
  const unmet = ask.costs.length - granted;
  const retry = unmet === 0 ? null : Math.max(1, Math.ceil(retryInMs));
  const hold: Hold = {
    held: ask.held + granted,
    // Beside others it waits for calls that it has no lanes for yet, too.
    unmet: contended || tells ? unmet + ask.ready : unmet,
    unmetCost: ask.costs[granted] ?? before?.unmetCost ?? 0,
    weight: ask.weight,
    // Who got something waits anew, behind those who did not.
    waitingSinceMs: granted > 0 ? nowMs : asker.waitingSinceMs,
    seenAtMs: nowMs,
    dueAtMs: ask.served ? nowMs + (retry ?? FULL_RETRY_MS) : 0,
    // As faded when it asked, and what was granted since.
    calls: asker.calls,
    tokens: asker.tokens,
    fadedAtMs: nowMs,
  };
  if (unmet === 0) blockedBy = null;
  const busy = unmet > 0 || ask.ready > 0 || contended;
  const inTheWay = limits.probes === true && busy && inFlight + granted >= limits.maxConcurrency;
  next.learned = opened(next.learned, ask.accepted ?? 0, inTheWay, allowed.maxConcurrency);
  next.learned.pace = grantedAt(
    next.learned.pace,
    granted,
    nowMs + Math.max(0, ...startInMs),
    busy,
  );
  const grant: Grant = { startInMs, retryInMs: retry, blockedBy, contended };
  return { quota: next, hold, grant, called: [...called] };
}

/** The quota after what an ask tells, and the limits in force from then on. */
function afterNews(
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
  // Somebody gets through: where there is a pace, that is what finds the rate, and not longer rests.
  if ((ask.accepted ?? 0) > 0 && learned.pace.perMinute !== null) next.throttles = 0;
  if (ask.throttled && isOfQuota(ask.throttled, learned, inFlight)) {
    if (nowMs >= next.cooldownUntilMs) next.throttles += 1;
    const ceiling = Math.min(COOLDOWN_MAX_MS, COOLDOWN_BASE_MS * 2 ** (next.throttles - 1));
    // At least half the ceiling: a cooldown near zero would storm the upstream again at once.
    const restMs = ask.throttled.afterMs ?? ceiling * (0.5 + random / 2);
    const untilMs = nowMs + Math.min(restMs, COOLDOWN_TOLD_MAX_MS);
    next.cooldownUntilMs = Math.max(next.cooldownUntilMs, untilMs);
  } else if (ask.answered && nowMs >= next.cooldownUntilMs) {
    next.throttles = 0;
  }
  return { next, limits };
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

/** Tokens that one call may overdraw the bucket by: more than any model's context. */
const TOKENS_AHEAD = 10_000_000;

function bounded(
  state: BucketState,
  limits: BucketLimits,
  largestCost: number,
  nowMs: number,
): BucketState {
  const aheadMs = ((limits.burst + largestCost) * 60_000) / limits.perMinute + HORIZON_MS;
  return { tatMs: Math.min(state.tatMs, nowMs + aheadMs) };
}

interface Asker extends Claimant {
  batch: string;
  dueAtMs: number;
}

function askerOf(ask: Ask, before: Hold | undefined, nowMs: number): Asker {
  const { costs } = ask;
  return {
    ...playerOf(before, nowMs),
    batch: ask.batch,
    held: ask.held,
    weight: ask.weight,
    // Not later than now: a clock that was ahead would put it behind everybody who comes.
    waitingSinceMs: before && before.unmet > 0 ? Math.min(before.waitingSinceMs, nowMs) : nowMs,
    // One that only tells comes when it is called.
    dueAtMs: costs.length > 0 ? nowMs : Number.POSITIVE_INFINITY,
    wants: costs.length > 0 ? costs.length : ask.served ? ask.ready : 0,
    nextCost() {
      return costs[costs.length - this.wants] ?? before?.unmetCost ?? 0;
    },
  };
}

/** The batches that calls are kept for: those that wait, and come again soon or when called. */
function rivalsOf(holds: ReadonlyMap<string, Hold>, batch: string, nowMs: number): Asker[] {
  const rivals: Asker[] = [];
  for (const [name, hold] of holds) {
    if (name === batch || hold.unmet === 0 || isGone(hold, nowMs)) continue;
    if (nowMs > hold.dueAtMs + KEEP_MS || nowMs < hold.seenAtMs - KEEP_MS) continue;
    rivals.push({
      ...playerOf(hold, nowMs),
      batch: name,
      held: hold.held,
      weight: hold.weight,
      waitingSinceMs: hold.waitingSinceMs,
      dueAtMs: hold.dueAtMs,
      wants: hold.unmet,
      nextCost: () => hold.unmetCost,
    });
  }
  return rivals;
}

/** What a batch was granted in the last seconds, as it has faded by now. */
function playerOf(hold: Hold | undefined, nowMs: number): { calls: number; tokens: number } {
  if (hold === undefined) return { calls: 0, tokens: 0 };
  const left = Math.exp(-Math.abs(nowMs - hold.fadedAtMs) / FADE_MS);
  return { calls: hold.calls * left, tokens: hold.tokens * left };
}

/** Whether nobody has heard of a batch for too long. One from the future is a clock's mistake. */
export function isGone(hold: Hold, nowMs: number): boolean {
  return Math.abs(nowMs - hold.seenAtMs) > HOLD_TTL_MS;
}
