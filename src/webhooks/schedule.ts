const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** Standard Webhooks, "Deliverability and reliability": ten attempts over about three days. */
const DELAYS_MS = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  24 * HOUR_MS,
];

/** Attempts a delivery gets: one at once, and one after each delay. */
export const ATTEMPTS = DELAYS_MS.length + 1;

/** Each delay is up to a fifth shorter or longer, so that failed deliveries spread out. */
const JITTER = 0.2;

export interface FailedDelivery {
  /** Attempts made so far, ≥ 1. */
  attempt: number;
  /** Chance, in [0, 1). */
  random: number;
  /** What the receiver asked for, in milliseconds; obeyed when it is longer than the step. */
  retryAfterMs?: number | undefined;
}

/** Milliseconds to wait before the next attempt; undefined when there is none left. */
export function nextDeliveryDelayMs(failed: FailedDelivery): number | undefined {
  const stepMs = DELAYS_MS[failed.attempt - 1];
  if (stepMs === undefined) return undefined;
  const delayMs = Math.round(stepMs * (1 - JITTER + 2 * JITTER * failed.random));
  return Math.max(delayMs, failed.retryAfterMs ?? 0);
}
