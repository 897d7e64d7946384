/** What a call may be short of through rounding and still pass. */
const tolerance = 1e-6;

/** A token bucket with continuous refill. Time is an argument, in milliseconds. */
export class TokenBucket {
  readonly perMinute: number;
  readonly capacity: number;
  #level: number;
  #filledAtMs: number;

  /** A full bucket. */
  constructor(perMinute: number, capacity: number, nowMs: number) {
    this.perMinute = perMinute;
    this.capacity = capacity;
    this.#level = capacity;
    this.#filledAtMs = nowMs;
  }

  /** The tokens in it. */
  level(nowMs: number): number {
    const elapsedMs = Math.max(0, nowMs - this.#filledAtMs);
    return Math.min(this.capacity, this.#level + (elapsedMs * this.perMinute) / 60_000);
  }

  /**
   * Milliseconds until the bucket holds `cost`; 0 when it does now. A cost above the capacity
   * needs a full bucket: otherwise such a call would be refused forever.
   */
  waitMs(cost: number, nowMs: number): number {
    const missing = Math.min(cost, this.capacity) - this.level(nowMs);
    return missing <= tolerance ? 0 : (missing * 60_000) / this.perMinute;
  }

  take(cost: number, nowMs: number): void {
    this.#level = Math.max(0, this.level(nowMs) - cost);
    this.#filledAtMs = nowMs;
  }

  /** Milliseconds to a full refill. */
  resetMs(nowMs: number): number {
    return ((this.capacity - this.level(nowMs)) * 60_000) / this.perMinute;
  }
}
