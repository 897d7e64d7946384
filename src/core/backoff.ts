export interface FullJitter {
  /** Failures so far, ≥ 1. */
  failures: number;
  /** The longest wait after the first failure, in milliseconds. */
  baseMs: number;
  /** The longest wait after any failure, in milliseconds. */
  maxMs: number;
  /** Chance, in [0, 1). */
  random: number;
}

/** 2 to any higher power is Infinity, and Infinity × a base of 0 is no number. */
const MAX_EXPONENT = 1023;

/**
 * Milliseconds to wait before the next attempt: anything from 0 up to the doubled base, capped.
 * "Full jitter" of the AWS Architecture Blog, "Exponential Backoff And Jitter" (2015):
 * `random_between(0, min(cap, base * 2 ** attempt))`. There it had the fewest calls of the variants
 * compared, because clients that failed together do not come back together.
 */
export function fullJitterMs({ failures, baseMs, maxMs, random }: FullJitter): number {
  const ceilingMs = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, MAX_EXPONENT));
  return Math.floor(random * ceilingMs);
}
