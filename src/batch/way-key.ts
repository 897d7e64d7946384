import { PROBE_FIRST_MS, PROBE_MAX_MS } from "../core/breaker.ts";

/**
 * What a batch knows of the key of one of its ways: whether the upstream takes it. One that was
 * refused is used no more but for a probe, after pauses that double, so that a mended key is found.
 * In memory only: forgetting it costs a few calls, which cost their tasks nothing.
 */
export class WayKey {
  /** Whether a call with it succeeded. */
  #good = false;
  /** Whether it was refused since the last success. */
  #refused = false;
  #shutAtMs: number | undefined;
  #probeAtMs = 0;
  #pauseMs = PROBE_FIRST_MS;

  /** Whether it was refused so that the way is used no more. */
  get isShut(): boolean {
    return this.#shutAtMs !== undefined;
  }

  /**
   * Whether a refusal is about the key, and not about that one call: no call succeeded yet, or it is
   * not the only one since the last that did.
   *
   * @param again whether another one came in the same exchange.
   */
  doubted(again: boolean): boolean {
    return !this.#good || this.#refused || again;
  }

  /** Notes a refusal. @param others whether another way is left. @returns whether that shuts it. */
  refuse(others: boolean, nowMs: number): boolean {
    const shuts = others && !this.isShut && this.doubted(false);
    this.#refused = true;
    if (shuts) {
      this.#shutAtMs = nowMs;
      this.#pauseMs = PROBE_FIRST_MS;
      this.#probeAtMs = nowMs + this.#pauseMs;
    }
    return shuts;
  }

  /**
   * Notes a success. One that began before the way was shut says nothing of the key as it is now.
   *
   * @returns whether the way is open again.
   */
  take(startedAtMs: number): boolean {
    this.#good = true;
    if (this.#shutAtMs !== undefined && startedAtMs < this.#shutAtMs) return false;
    const opens = this.isShut;
    this.#refused = false;
    this.#shutAtMs = undefined;
    return opens;
  }

  /** How long until the next probe of one that is shut, in milliseconds. */
  probeInMs(nowMs: number): number {
    const leftMs = this.#probeAtMs - nowMs;
    // Further ahead than any pause it was set by a clock that was ahead.
    return leftMs > PROBE_MAX_MS ? 0 : Math.max(0, leftMs);
  }

  /** Notes that a probe is made now. */
  probe(nowMs: number): void {
    this.#pauseMs = Math.min(PROBE_MAX_MS, this.#pauseMs * 2);
    this.#probeAtMs = nowMs + this.#pauseMs;
  }
}
