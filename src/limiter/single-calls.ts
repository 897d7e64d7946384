import { type Granted, lately, type Parties, waits } from "../core/claimants.ts";
import type { Hold } from "../core/quota.ts";
import { isSingleCall } from "./acquire.ts";
import { refOf } from "./names.ts";

/**
 * Single calls that wait for a quota at most. Each is a row, and one more for every ask to look at; a
 * call of five seconds among fifty has its turn within its minute if no more than 600 are before it.
 */
const MOST_WAITING = 1_000;
/** One that found no place is told to come again after so long, and up to as long again. */
const CROWDED_RETRY_MS = 5_000;

/**
 * Whether one more single call of a project finds no place among those that wait. A project's may be
 * as many as there are places left: half of all when it is alone, and none of the places that another
 * project's first call would take.
 */
export function isCrowded(
  holds: ReadonlyMap<string, Hold>,
  project: string,
  nowMs: number,
): boolean {
  let all = 0;
  let own = 0;
  for (const [batch, hold] of holds) {
    const ref = refOf(batch);
    if (!isSingleCall(ref) || !waits(hold, nowMs)) continue;
    all += 1;
    if (ref.project === project) own += 1;
  }
  return own >= MOST_WAITING - all;
}

/** When one that found no place may come again: not all of them at once. @param random in [0, 1). */
export function crowdedRetryMs(random: number): number {
  return Math.round(CROWDED_RETRY_MS * (1 + random));
}

/** Projects whose single calls are remembered for some seconds. Forgetting them gives them a call more. */
const PROJECTS_MAX = 1_000;

/**
 * The single calls of a project are one batch when calls are dealt. Each by itself would have no call in
 * flight and none behind it, and so be dealt the next one before every batch, whoever's, for as long as
 * such calls come.
 */
export class SingleCalls implements Parties {
  readonly #granted = new Map<string, Granted>();

  of(batch: string): string | undefined {
    const ref = refOf(batch);
    return isSingleCall(ref) ? ref.project : undefined;
  }

  granted(project: string): Granted | undefined {
    return this.#granted.get(project);
  }

  /** Takes note of a call that was granted. @param cost its tokens. */
  grant(project: string, cost: number, nowMs: number): void {
    const { calls, tokens } = lately(this.#granted.get(project), nowMs);
    if (this.#granted.size >= PROJECTS_MAX) this.#granted.clear();
    this.#granted.set(project, { calls: calls + 1, tokens: tokens + cost, fadedAtMs: nowMs });
  }
}

/**
 * Single calls that listen for their turn. Nobody is behind one who could be told, but it may leave a
 * request open, which is answered then. In memory: one whose request breaks off asks by itself, later.
 */
export class Listeners {
  readonly #ends = new Map<string, () => void>();

  /** @returns once it is called, or after the time. */
  listen(batch: string, forMs: number): Promise<void> {
    this.call(batch);
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#ends.delete(batch);
        resolve();
      };
      const timer = setTimeout(end, forMs);
      this.#ends.set(batch, end);
    });
  }

  call(batch: string): void {
    this.#ends.get(batch)?.();
  }
}
