import { PROBE_FIRST_MS, PROBE_LOST_MS, PROBE_MAX_MS } from "../core/breaker.ts";
import { COOLDOWN_TOLD_MAX_MS } from "../core/news.ts";
import type { Ask } from "../core/quota.ts";

/**
 * A wait that is longer than this is of no minute's limit, and so perhaps of a model's own: of a day,
 * most often. Who shares a minute's limit waits for it together.
 */
const OWN_MIN_MS = 60_000;
/** Whose wait was found to be its own is believed at once, as long as others were let in lately. */
const LATELY_MS = 10_000;
/** While another's probe is out. */
const POLL_MS = 2_000;
/** More models than this are not told apart. */
const KNOWN_MAX = 500;

type Heard = Pick<Ask, "batch" | "held" | "throttled" | "accepted">;

/**
 * Long waits that may be one model's alone. The whole quota rests for them at first; then one call of
 * another model finds out, after pauses that double. If it is let in, the others go on, and who was
 * told to wait does so alone. In memory: what is forgotten is found out anew, by as many calls.
 */
export class OwnWaits {
  /** Who got the waits that the quota rests for, and until when. */
  readonly #resting = new Map<string, number>();
  /** Who was found to wait alone, and until when last. */
  readonly #alone = new Map<string, number>();
  #passedAtMs = Number.NEGATIVE_INFINITY;
  #pauseMs = PROBE_FIRST_MS;
  #probeAtMs = 0;
  #prober: { batch: string; sinceMs: number } | undefined;

  /**
   * Takes an asker's news.
   *
   * @param who its model, or the batch itself where it has several.
   * @returns "own" when the wait it was told is its alone; "lifted" when the quota rests no more.
   */
  hear(who: string, said: Heard, nowMs: number): "own" | "lifted" | undefined {
    const { batch, held, throttled, accepted = 0 } = said;
    for (const [one, untilMs] of this.#resting) if (untilMs <= nowMs) this.#resting.delete(one);
    const isLong = (throttled?.afterMs ?? 0) > OWN_MIN_MS;
    const isPassed = accepted > 0 && throttled === undefined;
    const isProbe = this.#prober?.batch === batch;
    if (isProbe && (accepted > 0 || throttled !== undefined || held === 0)) {
      this.#prober = undefined;
    }
    if (isPassed && this.aloneMs(who, nowMs) === 0) {
      this.#passedAtMs = nowMs;
      this.#alone.delete(who);
    }
    if (isProbe && isPassed && this.#resting.size > 0) {
      if (this.#alone.size > KNOWN_MAX) this.#alone.clear();
      for (const [one, untilMs] of this.#resting) this.#alone.set(one, untilMs);
      this.#resting.clear();
      return "lifted";
    }
    if (!isLong) return undefined;
    const untilMs = nowMs + Math.min(throttled?.afterMs ?? 0, COOLDOWN_TOLD_MAX_MS);
    if (this.#alone.has(who) && Math.abs(nowMs - this.#passedAtMs) < LATELY_MS) {
      this.#alone.set(who, untilMs);
      return "own";
    }
    if (this.#resting.size === 0) {
      this.#pauseMs = PROBE_FIRST_MS;
      this.#probeAtMs = nowMs + PROBE_FIRST_MS;
    }
    if (this.#resting.size < KNOWN_MAX) this.#resting.set(who, untilMs);
    return undefined;
  }

  /** How long one waits alone. */
  aloneMs(who: string, nowMs: number): number {
    const leftMs = (this.#alone.get(who) ?? 0) - nowMs;
    return leftMs > COOLDOWN_TOLD_MAX_MS ? 0 : Math.max(0, leftMs);
  }

  /**
   * When one may find out whether the quota rests for it, too, in milliseconds; undefined when it
   * does, or rests for nobody in particular. One with calls in flight may not: the answers to those
   * say nothing.
   */
  probeInMs(who: string, held: number, nowMs: number): number | undefined {
    if (this.#resting.size === 0 || this.#resting.has(who)) return undefined;
    const prober = this.#prober;
    const isOut = prober !== undefined && Math.abs(nowMs - prober.sinceMs) < PROBE_LOST_MS;
    const leftMs = this.#probeAtMs - nowMs;
    const pauseMs = leftMs > PROBE_MAX_MS ? 0 : Math.max(0, leftMs);
    return isOut || held > 0 ? Math.max(POLL_MS, pauseMs) : pauseMs;
  }

  /** Notes that a batch was given the probe. */
  probing(batch: string, nowMs: number): void {
    this.#prober = { batch, sinceMs: nowMs };
    this.#pauseMs = Math.min(PROBE_MAX_MS, this.#pauseMs * 2);
    this.#probeAtMs = nowMs + this.#pauseMs;
  }
}
