import type { Limits } from "../core/deal.ts";
import { inForce } from "../core/learned.ts";
import type { Quota } from "../core/quota.ts";

/** How long a batch goes on by itself before it tells how it stands again. */
export const LEASE_MS = 1_000;

/**
 * Whether calls may follow each other in a batch's hands: where nothing but the calls in flight is
 * limited, and their number is found already, a call that ends may be replaced by another one
 * whoever says so.
 */
export function isLeasable(quota: Readonly<Quota>, allowed: Limits, nowMs: number): boolean {
  const limits = inForce(allowed, quota.learned);
  if (limits.requests !== undefined || limits.tokens !== undefined) return false;
  return quota.cooldownUntilMs <= nowMs && limits.maxConcurrency >= allowed.maxConcurrency;
}

/**
 * The leases that are out, in memory: one that is forgotten costs whoever waits for its calls a
 * second.
 */
export class Leases {
  readonly #untilMs = new Map<string, number>();

  /** Gives a batch a lease, of milliseconds. */
  give(batch: string, nowMs: number): number {
    this.#untilMs.set(batch, nowMs + LEASE_MS);
    return LEASE_MS;
  }

  /** Ends a batch's own lease. */
  leave(batch: string): void {
    this.#untilMs.delete(batch);
  }

  /** Ends all leases but the asker's own, which ends with its ask. @returns whose ran on. */
  end(asker: string, nowMs: number): string[] {
    if (this.#untilMs.size === 0) return [];
    const ended = [...this.#untilMs].filter(
      ([batch, untilMs]) => batch !== asker && untilMs > nowMs && untilMs <= nowMs + LEASE_MS,
    );
    this.#untilMs.clear();
    return ended.map(([batch]) => batch);
  }
}
