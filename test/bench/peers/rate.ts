import type { Body, Order } from "./protocol.ts";

/** At most `max` calls in `perMs` milliseconds. */
export interface Rate {
  max: number;
  perMs: number;
}

/**
 * The limits of an order for a limiter that counts calls in a window: a burst's worth in the time
 * that a burst takes to refill. A limit on tokens becomes one on calls of average cost, a second's
 * worth at a time. Undefined without limits.
 */
export function rateOf({ rpm, burst, tpm, averageTokens }: Order): Rate | undefined {
  if (rpm !== undefined) {
    const max = burst ?? Math.ceil(rpm / 60);
    return { max, perMs: (max * 60_000) / rpm };
  }
  if (tpm === undefined) return undefined;
  return { max: Math.max(1, Math.floor(tpm / 60 / averageTokens)), perMs: 1_000 };
}

/** Tokens to reserve for a call: four characters a token, and the answer as long as it may be. */
export function tokensOf({ messages, max_tokens }: Body): number {
  const characters = messages.reduce((sum, { content }) => sum + content.length, 0);
  return Math.ceil(characters / 4) + max_tokens;
}
