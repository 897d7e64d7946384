import type { BucketLimits } from "./bucket.ts";

/**
 * The pace that 429s teach. While there is more to call, time is cut into windows; a window with
 * 429s in it has shown what the upstream lets through, and that is the rate from then on. After many
 * 429s it is a rough one, and rises by a sixth each second until there is one more; then it is held,
 * and rises as CUBIC does (RFC 9438): flat around the rate that was too much, and faster once that
 * has done no harm for a while. So a limit is tried every ten seconds or so, and a raised one is
 * found in half a minute. Pure.
 */

/** A stretch of time in which more calls were wanted than were let through. */
interface Window {
  /** Without cooldowns, and these. */
  busyMs: number;
  restedMs: number;
  granted: number;
  refused: number;
  /** How far ahead calls had been granted when it began. */
  aheadMs: number;
}

/** What is known. */
export interface Pace {
  /** Calls a minute that the upstream let through when it was last too much; null before that. */
  perMinute: number | null;
  /** How much a pace from a rough measure rises in a busy second, as a part; 0 of a good measure. */
  seek: number;
  /** The last such rise. */
  lastSeek: number;
  /** Calls granted since then. */
  granted: number;
  window: Window;
  /** When the last call that was granted starts. */
  lastStartMs: number;
  /** Whether more was wanted than given when last asked. */
  busy: boolean;
  /**
   * Cuts one after the other for a few refusals, and the part of the calls that were refused before
   * the first of them.
   */
  cuts: number;
  cutShare: number;
  /** 429s before this time are of calls that began before the last cut. */
  settledAtMs: number;
  /** When 429s last rested the quota. */
  stormAtMs: number;
  /** Before this time single 429s change nothing: going slower had not helped. */
  deafUntilMs: number;
  /** Part of the latest answers that were 429s, of about twenty; and the part that is not known yet. */
  refusedShare: number;
  unknownShare: number;
}

const fresh = (aheadMs: number): Window => ({
  busyMs: 0,
  restedMs: 0,
  granted: 0,
  refused: 0,
  aheadMs,
});

/** The state before the first call. */
export function freshPace(): Pace {
  return {
    perMinute: null,
    seek: 0,
    lastSeek: SEEK,
    granted: 0,
    window: fresh(0),
    lastStartMs: 0,
    busy: false,
    cuts: 0,
    cutShare: 0,
    settledAtMs: 0,
    stormAtMs: 0,
    deafUntilMs: 0,
    refusedShare: 0,
    unknownShare: 1,
  };
}

/**
 * A window ends when it is so long and has so many calls: after a cut, as many as would have some
 * refusals if it had not helped. 429s that rest the quota end it at once, and none goes on for ever.
 */
const WINDOW_MS = 1_000;
const WINDOW_CALLS = 20;
const WINDOW_MAX_MS = 30_000;
/** A shorter window is no measure. What was too fast is then slowed down by a part. */
const WINDOW_MIN_MS = 400;
const SLOWED = 0.7;
/** A gap between asks counts as busy for so long at most. */
const GAP_MS = 1_000;
/** Of what was let through, what is used at first: of a rough measure, and of a good one. */
const ROUGH = 0.9;
const CUT = 0.98;
/** One cut goes no deeper, however few calls its window had. */
const CUT_MIN = 0.3;
/** So long after a cut 429s of calls from before it may come. */
const SETTLE_MS = 500;
/** How much a rough pace rises in a busy second: at first, and after storms one after the other. */
const SEEK = 0.15;
const SEEK_LESS = 0.4;
const SEEK_MIN = 0.02;
/** Busy seconds until a held one is again what it was before the cut (CUBIC's K). */
const PLATEAU_S = 10;
/** A pace that allows so many times what is called holds nothing back, and is forgotten. */
const FORGOTTEN_TIMES = 2;
/** With fewer refusals than this, 429s are about single calls and not about the quota. */
export const REFUSED_MANY = 0.15;
/** One answer's weight in `refusedShare`. */
const ANSWER_WEIGHT = 0.05;
const HOPE = 0.9;
/** Answers older than this say nothing of now. */
const STALE_MS = 10_000;
/**
 * So many cuts in a row help, if single 429s come from going too fast: less than this part of the
 * refusals is left. Otherwise they do not, and are not heard for so long.
 */
const CUTS = 2;
const HELPED = 0.5;
const REFUSED_SOME = 3;
const DEAF_MS = 60_000;
/** No storm for so long. */
const CALM_MS = 60_000;
/** Calls that may start at once, as seconds of the pace. */
const PACE_BURST_S = 0.02;

/** What happened since the last ask. */
export interface PaceNews {
  /** Answers other than 429. */
  accepted: number;
  /** 429s. */
  refused: number;
  /** Time since the last ask, and the part of it that was no cooldown. */
  sinceMs: number;
  awakeMs: number;
  /** Calls in flight, of all batches. */
  inFlight: number;
}

/** The pace after what happened since the last ask. */
export function paced(pace: Pace, news: PaceNews, nowMs: number): Pace {
  const { accepted, sinceMs, awakeMs } = news;
  const settled = nowMs >= pace.settledAtMs;
  const { window } = pace;
  const aheadMs = Math.max(0, pace.lastStartMs - nowMs);
  const isStale = sinceMs > STALE_MS;
  const known = 1 - (1 - ANSWER_WEIGHT) ** (accepted + news.refused);
  const next: Pace = {
    ...pace,
    refusedShare: refusedShare(isStale ? 0 : pace.refusedShare, accepted, news.refused),
    unknownShare: (isStale ? 1 : pace.unknownShare) * (1 - known),
    window: {
      ...window,
      busyMs: window.busyMs + (pace.busy ? Math.min(awakeMs, GAP_MS) : 0),
      restedMs: window.restedMs + (pace.busy ? Math.min(sinceMs - awakeMs, GAP_MS) : 0),
      refused: window.refused + news.refused,
    },
  };
  if (!settled) return { ...next, window: fresh(aheadMs) };
  const isStorm = news.refused > 0 && isThrottled(next, news.inFlight) && isMeasure(next);
  return isStorm ? cut(next, true, aheadMs, nowMs) : judged(next, aheadMs, nowMs);
}

/** The share of 429s among the latest twenty answers or so, after some more; the 429s count as the last. */
export function refusedShare(before: number, accepted: number, refused: number): number {
  const after = before * (1 - ANSWER_WEIGHT) ** accepted;
  return 1 - (1 - after) * (1 - ANSWER_WEIGHT) ** refused;
}

/**
 * The pace after an ask was answered.
 *
 * @param lastStartMs when the last of the calls that were granted starts.
 * @param busy whether more was wanted.
 */
export function granted(pace: Pace, calls: number, lastStartMs: number, busy: boolean): Pace {
  const { window } = pace;
  return {
    ...pace,
    busy,
    lastStartMs: calls > 0 ? Math.max(pace.lastStartMs, lastStartMs) : pace.lastStartMs,
    granted: pace.granted + calls,
    window: { ...window, granted: window.granted + (busy ? calls : 0) },
  };
}

/** The rate in force, as a bucket; undefined while no 429 has taught one. */
export function paceOf(pace: Pace): BucketLimits | undefined {
  const { perMinute } = pace;
  if (perMinute === null) return undefined;
  const rate = perMinute * risen(pace);
  return { perMinute: rate, burst: Math.max(1, (rate / 60) * PACE_BURST_S) };
}

/** How much of the rate is used, by the calls made since the cut. */
function risen({ perMinute, granted, seek }: Pace): number {
  // Seconds at the rate of the cut. As calls become more, so do these: a constant rise for each call
  // is exponential in time.
  const busyS = (granted * 60) / (perMinute ?? 1);
  if (seek > 0) return ROUGH + seek * busyS;
  return 1 + (1 - CUT) * ((busyS - PLATEAU_S) / PLATEAU_S) ** 3;
}

/**
 * Whether 429s are about the quota: many of the latest answers are. Where too little is known,
 * calls in flight are hoped to be answered; without them a 429 is taken at its word.
 */
export function isThrottled({ refusedShare, unknownShare }: Pace, inFlight: number): boolean {
  return refusedShare + unknownShare * HOPE ** inFlight >= REFUSED_MANY;
}

/** Whether a storm says how fast is too fast: not if it came with the first calls after a pause. */
function isMeasure({ perMinute, window }: Pace): boolean {
  if (window.refused <= REFUSED_SOME) return false;
  return perMinute !== null || window.granted >= WINDOW_CALLS || window.busyMs >= WINDOW_MIN_MS;
}

function judged(pace: Pace, aheadMs: number, nowMs: number): Pace {
  const { window, perMinute, cuts, cutShare } = pace;
  if (!isOver(pace)) return pace;
  const next = { ...pace, window: fresh(aheadMs) };
  const perMs = startedIn(window, aheadMs) / window.busyMs;
  if (window.refused === 0) {
    const isFree = perMinute !== null && perMinute * risen(pace) > FORGOTTEN_TIMES * perMs * 60_000;
    return { ...next, cuts: 0, ...(isFree ? FREE : {}) };
  }
  if (nowMs < pace.deafUntilMs) return next;
  const calm = nowMs > pace.stormAtMs + CALM_MS;
  const isVain = calm && cuts >= CUTS && shareOf(window, aheadMs) > cutShare * HELPED;
  if (isVain) return { ...next, ...FREE, cuts: 0, deafUntilMs: nowMs + DEAF_MS };
  return cut(pace, false, aheadMs, nowMs);
}

/** From now on as fast as the window was let through. */
function cut(pace: Pace, storm: boolean, aheadMs: number, nowMs: number): Pace {
  const { window, cuts } = pace;
  // In a short cooldown the upstream's bucket fills on. In a storm that is left out: the bucket may
  // have been full before, and what is too fast shows again at once.
  const restedMs = storm ? 0 : window.restedMs;
  const busyMs = Math.max(WINDOW_MIN_MS, window.busyMs + restedMs);
  const isRough = storm || restedMs > 0;
  const started = startedIn(window, aheadMs);
  const through = (Math.max(started - window.refused, started * CUT_MIN) * 60_000) / busyMs;
  const before = paceOf(pace)?.perMinute;
  const isShort = before !== undefined && window.busyMs < WINDOW_MIN_MS;
  return {
    ...pace,
    perMinute: Math.max(1, isShort ? before * SLOWED : through),
    seek: isRough ? seekOf(pace, nowMs) : 0,
    lastSeek: isRough ? seekOf(pace, nowMs) : pace.lastSeek,
    granted: 0,
    window: fresh(aheadMs),
    cuts: storm ? 0 : cuts + 1,
    cutShare: cuts === 0 ? shareOf(window, aheadMs) : pace.cutShare,
    settledAtMs: nowMs + SETTLE_MS,
    stormAtMs: storm ? nowMs : pace.stormAtMs,
    // Those that come now are of calls from before.
    refusedShare: storm ? 0 : pace.refusedShare,
  };
}

/** Calls of a window that have started: some are granted a little ahead. */
function startedIn({ busyMs, granted, aheadMs: before }: Window, aheadMs: number): number {
  const spanMs = Math.max(1, busyMs + aheadMs - before);
  return granted * Math.min(1, busyMs / spanMs);
}

function shareOf(window: Window, aheadMs: number): number {
  return window.refused / Math.max(startedIn(window, aheadMs), window.refused, 1);
}

function isOver({ window, cuts, cutShare }: Pace): boolean {
  const { busyMs, granted, refused } = window;
  if (busyMs >= WINDOW_MAX_MS) return true;
  if (busyMs < WINDOW_MS || granted + refused < WINDOW_CALLS) return false;
  return cuts === 0 || granted * cutShare >= REFUSED_SOME;
}

/** Each storm soon after another has the next rate sought with more care. */
function seekOf({ stormAtMs, lastSeek }: Pace, nowMs: number): number {
  if (nowMs > stormAtMs + CALM_MS) return SEEK;
  return Math.max(SEEK_MIN, lastSeek * SEEK_LESS);
}

const FREE = { perMinute: null, seek: 0, granted: 0 } as const;
