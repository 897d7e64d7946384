/**
 * Whether an upstream answers at all: a circuit breaker. Calls that fail one after the other, by
 * connection, timeout or 5xx, and with no answer among them, mean that it is down. Then one call at a
 * time finds out whether it is back, after pauses that grow; the first answer ends it. Pure.
 */

/** What is known of a quota's upstream. Times are milliseconds since the epoch. */
export interface Breaker {
  /** Calls that failed in a row. */
  failures: number;
  /** When the first of them was heard of; 0 while there is none. */
  failingSinceMs: number;
  /** Probes that failed since it is down. */
  probes: number;
  /** Before this time no probe is made. */
  probeAtMs: number;
  /** The batch whose call is the probe, and since when; null while none is out. */
  prober: string | null;
  probingSinceMs: number;
}

/** What a batch heard of the upstream since it last asked. */
export interface Signs {
  batch: string;
  /** Answers: any status below 500. */
  alive: number;
  /** Calls that failed by connection, timeout, a cut answer or 5xx. */
  broken: number;
  /** Calls that it has in flight. */
  held: number;
}

/**
 * So many failures in a row, of all batches, and it is down. Random faults of a tenth of the calls
 * are five in a row once in a hundred thousand calls, and cost a pause of a second then.
 */
export const DOWN_AFTER = 5;
/** The pause before the first probe; doubled after each that fails. */
export const PROBE_FIRST_MS = 1_000;
/** The longest pause: so long after an upstream is back it is used again, at most. */
export const PROBE_MAX_MS = 60_000;
/** A probe that nothing was heard of for so long is lost: calls take no longer, as a rule. */
export const PROBE_LOST_MS = 120_000;
/** Who waits for another's probe asks again after this long. */
const PROBE_POLL_MS = 2_000;

/** The state of an upstream that was never called. */
export function freshBreaker(): Breaker {
  return {
    failures: 0,
    failingSinceMs: 0,
    probes: 0,
    probeAtMs: 0,
    prober: null,
    probingSinceMs: 0,
  };
}

/** The state after what a batch heard. The same object when nothing changed. */
export function heard(breaker: Breaker, signs: Signs, nowMs: number): Breaker {
  const { alive, broken, batch, held } = signs;
  if (alive > 0) return breaker.failures === 0 ? breaker : freshBreaker();
  // A probe that was permitted and never made: its batch has nothing in flight, and tells of nothing.
  const isUnmade = breaker.prober === batch && held === 0;
  if (broken === 0) return isUnmade ? { ...breaker, prober: null } : breaker;
  const failingSinceMs = breaker.failures === 0 ? nowMs : breaker.failingSinceMs;
  const next = { ...breaker, failures: breaker.failures + broken, failingSinceMs };
  if (!isDown(next)) return next;
  // Calls that began before it was down end one after the other, and say nothing new.
  if (isDown(breaker) && breaker.prober !== batch) return next;
  const probes = isDown(breaker) ? breaker.probes + 1 : 0;
  return { ...next, probes, probeAtMs: nowMs + pauseMs(probes), prober: null };
}

/** Whether the upstream is down. */
export function isDown({ failures }: Breaker): boolean {
  return failures >= DOWN_AFTER;
}

/** How many calls may be made now: one, as a probe, or none, while it is down. */
export function callsAllowed(breaker: Breaker, nowMs: number): number {
  if (!isDown(breaker)) return Number.POSITIVE_INFINITY;
  return isProbing(breaker, nowMs) || waitMs(breaker, nowMs) > 0 ? 0 : 1;
}

/** The state after a batch was given the probe. */
export function probing(breaker: Breaker, batch: string, nowMs: number): Breaker {
  return { ...breaker, prober: batch, probingSinceMs: nowMs };
}

/** While it is down: when to ask again, in milliseconds; at least 1. */
export function askAgainMs(breaker: Breaker, nowMs: number): number {
  return isProbing(breaker, nowMs) ? PROBE_POLL_MS : Math.max(1, waitMs(breaker, nowMs));
}

function pauseMs(probes: number): number {
  return Math.min(PROBE_MAX_MS, PROBE_FIRST_MS * 2 ** probes);
}

/** Not longer than any pause: a clock that was ahead would keep the upstream down. */
function waitMs({ probeAtMs }: Breaker, nowMs: number): number {
  return probeAtMs - nowMs > PROBE_MAX_MS ? 0 : Math.max(0, probeAtMs - nowMs);
}

function isProbing({ prober, probingSinceMs }: Breaker, nowMs: number): boolean {
  return prober !== null && Math.abs(nowMs - probingSinceMs) < PROBE_LOST_MS;
}
