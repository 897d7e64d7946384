import { askerOf, join, type Parties, rivalsOf } from "./claimants.ts";
import { deal, type Limits, startMs, takeCall } from "./deal.ts";
import { opened } from "./learned.ts";
import { afterNews } from "./news.ts";
import { granted as grantedAt } from "./pace.ts";
import { type Ask, type Grant, HORIZON_MS, type Hold, isGone, type Quota } from "./quota.ts";

/**
 * The arithmetic of a quota: requests a minute, tokens a minute, calls in flight and the cooldown
 * after a 429, shared by the batches that compete. Pure: state in, state out. What the limits are is
 * in limits.ts, what is found out of them in learned.ts, what an ask tells in news.ts, who gets a call
 * in claimants.ts and deal.ts.
 */

/** A batch that is to come later than this is called when calls are dealt to it. */
const SOON_MS = 150;
/** While calls in flight may give tokens back, to wait for tokens is to ask this often. */
const REFUND_RETRY_MS = 5_000;
/** When the calls in flight are at their limit: a batch is called before, unless that is lost. */
export const FULL_RETRY_MS = 10_000;

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
 * @param parties without them each batch stands for itself.
 */
export function admit(
  quota: Quota,
  holds: ReadonlyMap<string, Hold>,
  allowed: Limits,
  ask: Ask,
  nowMs: number,
  random: number,
  parties?: Parties,
): Admitted {
  const inFlight = [...holds].reduce(
    (sum, [batch, hold]) => sum + (batch === ask.batch || isGone(hold, nowMs) ? 0 : hold.held),
    ask.held,
  );
  const { next, limits } = afterNews(quota, allowed, ask, inFlight, nowMs, random);
  const before = holds.get(ask.batch);
  const asker = askerOf(ask, before, nowMs);
  const rivals = rivalsOf(holds, ask.batch, nowMs);
  if (parties) join([asker, ...rivals], ask, holds, parties, nowMs);
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
      // What is in flight may give most of what was reserved for it back.
      if (limits.tokens && inFlight + startInMs.length > 0)
        retryInMs = Math.min(retryInMs, Math.max(notBeforeMs - nowMs, REFUND_RETRY_MS));
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
