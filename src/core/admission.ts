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
  /** Estimated tokens of the first of those. */
  unmetCost: number;
  /** Since when it has waited for its next call. */
  waitingSinceMs: number;
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
  /** The time of the last ask, by the clock that all times here are told by. */
  askedAtMs: number;
}

/** What a batch says and asks. Absolute, so a lost message heals with the next one. */
export interface Ask {
  batch: string;
  held: number;
  /** Reserved tokens of each call wanted, in order. */
  costs: number[];
  /** The batch has work beyond `costs` that it could hand out: with no costs, it only tells. */
  ready: boolean;
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
/** When the calls in flight are at their limit, or kept for others, ask again after this long. */
const FULL_RETRY_MS = 100;
/** The longest cooldown, whatever the upstream says: then one call finds out whether it still holds. */
const COOLDOWN_TOLD_MAX_MS = 15 * 60_000;
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
  return {
    requests: { tatMs: 0 },
    tokens: { tatMs: 0 },
    cooldownUntilMs: 0,
    throttles: 0,
    askedAtMs: 0,
  };
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
  const next = afterNews(quota, limits, ask, nowMs, random);
  const before = holds.get(ask.batch);
  // Not later than now: a clock that was ahead would put it behind everybody who comes.
  const waitingSinceMs =
    before && before.unmet > 0 ? Math.min(before.waitingSinceMs, nowMs) : nowMs;
  const rivals = rivalsOf(holds, ask.batch, nowMs);

  const room = roomFor(rivals, limits.maxConcurrency, ask, waitingSinceMs);
  const startInMs: number[] = [];
  let waitMs = FULL_RETRY_MS * (1 + turnsAhead(rivals, limits.maxConcurrency, waitingSinceMs));
  for (const cost of ask.costs.slice(0, room)) {
    let at = Math.max(nowMs, next.cooldownUntilMs);
    if (requests) at = earliestMs(next.requests, requests, 1, at);
    if (tokens) {
      const ahead = tokensAhead(next.tokens, tokens, rivals, waitingSinceMs, nowMs);
      at = earliestMs(ahead, tokens, cost, at);
    }
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
  if (ask.costs.length === 0 && ask.ready && before && before.unmet > 0) {
    // It only told its news: its place among those who wait stays.
    const hold: Hold = { ...before, held: ask.held, waitingSinceMs, seenAtMs: nowMs };
    return { quota: next, hold, grant: { startInMs, retryInMs: null } };
  }
  return {
    quota: next,
    hold: {
      held: ask.held + granted,
      unmet,
      unmetCost: ask.costs[granted] ?? 0,
      // Who got something waits anew, behind those who did not.
      waitingSinceMs: granted > 0 ? nowMs : waitingSinceMs,
      seenAtMs: nowMs,
    },
    grant: { startInMs, retryInMs: unmet === 0 ? null : Math.max(1, Math.ceil(waitMs)) },
  };
}

function afterNews(
  quota: Quota,
  limits: UpstreamLimits,
  ask: Ask,
  nowMs: number,
  random: number,
): Quota {
  const requests = requestLimits(limits);
  const tokens = tokenLimits(limits);
  // A clock that went back takes all times told by it along.
  const backMs = Math.max(0, quota.askedAtMs - nowMs);
  const requestsThen = { tatMs: quota.requests.tatMs - backMs };
  const tokensThen = { tatMs: quota.tokens.tatMs - backMs };
  // Times further ahead than the arithmetic can put them come from a clock that was ahead.
  const next: Quota = {
    requests: requests ? bounded(requestsThen, requests, 1, nowMs) : requestsThen,
    tokens: tokens ? bounded(tokensThen, tokens, TOKENS_AHEAD, nowMs) : tokensThen,
    cooldownUntilMs: Math.min(quota.cooldownUntilMs - backMs, nowMs + COOLDOWN_TOLD_MAX_MS),
    throttles: quota.throttles,
    askedAtMs: nowMs,
  };
  if (tokens) next.tokens = settle(next.tokens, tokens, ask.extraTokens);
  if (ask.throttled) {
    if (nowMs >= next.cooldownUntilMs) next.throttles += 1;
    const ceiling = Math.min(COOLDOWN_MAX_MS, COOLDOWN_BASE_MS * 2 ** (next.throttles - 1));
    // At least half the ceiling: a cooldown near zero would storm the upstream again at once.
    const restMs = ask.throttled.afterMs ?? ceiling * (0.5 + random / 2);
    const untilMs = nowMs + Math.min(restMs, COOLDOWN_TOLD_MAX_MS);
    next.cooldownUntilMs = Math.max(next.cooldownUntilMs, untilMs);
  } else if (ask.answered && nowMs >= next.cooldownUntilMs) {
    next.throttles = 0;
  }
  return next;
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

/** The other batches' holds that still count. */
function rivalsOf(holds: ReadonlyMap<string, Hold>, batch: string, nowMs: number): Hold[] {
  const rivals: Hold[] = [];
  for (const [name, hold] of holds) {
    // A hold from the future is a clock's mistake; it ages like one from the past.
    const ageMs = Math.abs(nowMs - hold.seenAtMs);
    if (name === batch || ageMs > HOLD_TTL_MS) continue;
    const unmet = ageMs > UNMET_TTL_MS ? 0 : hold.unmet;
    if (hold.held > 0 || unmet > 0) rivals.push({ ...hold, unmet });
  }
  return rivals;
}

/**
 * Calls the asker may add. The free ones are dealt one by one to whoever has fewest in flight and
 * waits, the one that waits longest first among equals (max-min fairness); those dealt to others
 * are kept for them.
 */
function roomFor(
  rivals: readonly Hold[],
  maxConcurrency: number,
  ask: Ask,
  waitingSinceMs: number,
): number {
  const inFlight = rivals.reduce((sum, { held }) => sum + held, ask.held);
  let free = Math.max(0, maxConcurrency - inFlight);
  const waiting = rivals
    .filter(({ unmet }) => unmet > 0)
    .map(({ held, unmet, waitingSinceMs }) => ({ held, unmet, waitingSinceMs }));
  if (waiting.length === 0) return Math.min(free, ask.costs.length);
  let room = 0;
  for (; free > 0 && room < ask.costs.length; free -= 1) {
    const held = ask.held + room;
    let first: (typeof waiting)[number] | undefined;
    for (const rival of waiting) {
      if (rival.unmet === 0) continue;
      const best = first ?? { held, waitingSinceMs };
      const sooner = rival.waitingSinceMs < best.waitingSinceMs;
      if (rival.held < best.held || (rival.held === best.held && sooner)) first = rival;
    }
    if (first === undefined) {
      room += 1;
    } else {
      first.held += 1;
      first.unmet -= 1;
    }
  }
  return room;
}

/** Rounds of all calls that those who have waited longer need before it is the asker's turn. */
function turnsAhead(
  rivals: readonly Hold[],
  maxConcurrency: number,
  waitingSinceMs: number,
): number {
  const ahead = rivals.filter((rival) => rival.unmet > 0 && rival.waitingSinceMs < waitingSinceMs);
  return Math.min(TURNS_MAX, Math.floor(ahead.length / maxConcurrency));
}

/** Nobody is sent away for longer than this many rounds. */
const TURNS_MAX = 9;

/**
 * The tokens bucket as if every rival that has waited longer had its next call already: a call of
 * many tokens needs a full bucket, and would never find one beside calls of few.
 */
function tokensAhead(
  tokens: BucketState,
  limits: BucketLimits,
  rivals: readonly Hold[],
  waitingSinceMs: number,
  nowMs: number,
): BucketState {
  let ahead = tokens;
  for (const rival of rivals) {
    if (rival.unmet === 0 || rival.unmetCost === 0) continue;
    if (rival.waitingSinceMs >= waitingSinceMs) continue;
    ahead = take(ahead, limits, rival.unmetCost, earliestMs(ahead, limits, rival.unmetCost, nowMs));
  }
  return ahead;
}
