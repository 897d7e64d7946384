import type { BucketState } from "./bucket.ts";
import { type Learned, nothingLearned } from "./learned.ts";
import type { Told } from "./told-limits.ts";

/**
 * The words of a quota: its shared state, what each batch holds of it, what a batch asks and is
 * granted.
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

/** Whether nobody has heard of a batch for too long. One from the future is a clock's mistake. */
export function isGone(hold: Hold, nowMs: number): boolean {
  return Math.abs(nowMs - hold.seenAtMs) > HOLD_TTL_MS;
}
