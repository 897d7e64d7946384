import { type Claimant, FADE_MS } from "./deal.ts";
import { type Ask, type Hold, isGone } from "./quota.ts";

/** Who takes part in the dealing of calls: the batch that asks, and those that wait. */

/** Calls dealt to a batch are kept for it this long after it was to come, and then given to others. */
export const KEEP_MS = 500;

/** A batch that calls are dealt to. */
export interface Asker extends Claimant {
  batch: string;
  dueAtMs: number;
}

/** The batch that asks, as it says it is. `before` is its hold until now. */
export function askerOf(ask: Ask, before: Hold | undefined, nowMs: number): Asker {
  const { costs } = ask;
  return {
    ...playerOf(before, nowMs),
    batch: ask.batch,
    held: ask.held,
    weight: ask.weight,
    // Not later than now: a clock that was ahead would put it behind everybody who comes.
    waitingSinceMs: before && before.unmet > 0 ? Math.min(before.waitingSinceMs, nowMs) : nowMs,
    // One that only tells comes when it is called.
    dueAtMs: costs.length > 0 ? nowMs : Number.POSITIVE_INFINITY,
    wants: costs.length > 0 ? costs.length : ask.served ? ask.ready : 0,
    nextCost() {
      return costs[costs.length - this.wants] ?? before?.unmetCost ?? 0;
    },
  };
}

/** The batches that calls are kept for: those that wait, and come again soon or when called. */
export function rivalsOf(holds: ReadonlyMap<string, Hold>, batch: string, nowMs: number): Asker[] {
  const rivals: Asker[] = [];
  for (const [name, hold] of holds) {
    if (name === batch || hold.unmet === 0 || isGone(hold, nowMs)) continue;
    if (nowMs > hold.dueAtMs + KEEP_MS || nowMs < hold.seenAtMs - KEEP_MS) continue;
    rivals.push({
      ...playerOf(hold, nowMs),
      batch: name,
      held: hold.held,
      weight: hold.weight,
      waitingSinceMs: hold.waitingSinceMs,
      dueAtMs: hold.dueAtMs,
      wants: hold.unmet,
      nextCost: () => hold.unmetCost,
    });
  }
  return rivals;
}

/** What a batch was granted in the last seconds, as it has faded by now. */
function playerOf(hold: Hold | undefined, nowMs: number): { calls: number; tokens: number } {
  if (hold === undefined) return { calls: 0, tokens: 0 };
  const left = Math.exp(-Math.abs(nowMs - hold.fadedAtMs) / FADE_MS);
  return { calls: hold.calls * left, tokens: hold.tokens * left };
}
