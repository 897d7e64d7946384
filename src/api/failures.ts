import { type BucketState, earliestMs, take } from "../core/bucket.ts";

/** Wrong keys that an address may send at once, and a minute. */
const LIMITS = { burst: 20, perMinute: 10 };
/** Addresses that are remembered: some hundred bytes each. */
const MAX_ADDRESSES = 10_000;

/**
 * Wrong keys by address. It slows guessing and the noise that it makes; what keeps guesses from
 * succeeding is the length of a key. Memory is one isolate's, bounded, and gone with it.
 */
export class Failures {
  readonly #buckets = new Map<string, BucketState & { slowed: boolean }>();

  /**
   * Counts a wrong key.
   *
   * @param address undefined when the platform tells none: nobody is slowed then.
   * @param onSlowed hears of a network that is slowed from now on, once until it has been patient.
   * @returns how long its sender is to wait; 0 while it has sent few.
   */
  note(address: string | undefined, nowMs: number, onSlowed?: (network: string) => void): number {
    if (address === undefined) return 0;
    const who = networkOf(address);
    const state = this.#buckets.get(who) ?? { tatMs: 0, slowed: false };
    const waitMs = earliestMs(state, LIMITS, 1, nowMs) - nowMs;
    // Put at the end, so that the first one is who was quiet longest.
    this.#buckets.delete(who);
    const slowed = waitMs > 0;
    const after = slowed ? state : take(state, LIMITS, 1, nowMs);
    this.#buckets.set(who, { ...after, slowed });
    if (slowed && !state.slowed) onSlowed?.(who);
    if (this.#buckets.size > MAX_ADDRESSES) {
      const [first] = this.#buckets.keys();
      if (first !== undefined) this.#buckets.delete(first);
    }
    return waitMs;
  }

  /** How many addresses are remembered. */
  get size(): number {
    return this.#buckets.size;
  }
}

/** Who has one address of IPv6 has a /64 of them (RFC 6177): its first four groups. */
function networkOf(address: string): string {
  if (!address.includes(":")) return address.slice(0, 64);
  const [head = "", tail] = address.toLowerCase().split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const after = tail === "" ? 0 : tail.split(":").length;
    while (groups.length + after < 8) groups.push("0");
  }
  while (groups.length < 4) groups.push("0");
  return groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, "").slice(0, 4))
    .join(":");
}
