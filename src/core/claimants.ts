import { type Claimant, FADE_MS, type Having } from "./deal.ts";
import { type Ask, type Hold, isGone } from "./quota.ts";

/** Who takes part in the dealing of calls: the batch that asks, and those that wait. */

/** Calls dealt to a batch are kept for it this long after it was to come, and then given to others. */
export const KEEP_MS = 500;

/** A batch that calls are dealt to. */
export interface Asker extends Claimant {
  batch: string;
  dueAtMs: number;
}

/** What somebody was granted, fading from `fadedAtMs` on. */
export type Granted = Pick<Hold, "calls" | "tokens" | "fadedAtMs">;

/** Batches that count as one when calls are dealt: each has what all of them have. */
export interface Parties {
  /** The name of a batch's party; undefined for one that stands for itself. */
  of(batch: string): string | undefined;
  granted(party: string): Granted | undefined;
}

/** The batch that asks, as it says it is. `before` is its hold until now. */
export function askerOf(ask: Ask, before: Hold | undefined, nowMs: number): Asker {
  const { costs } = ask;
  return {
    ...lately(before, nowMs),
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

/** Whether it waits for calls, and comes again soon or when called. */
export function waits(hold: Hold, nowMs: number): boolean {
  if (hold.unmet === 0 || isGone(hold, nowMs)) return false;
  return nowMs <= hold.dueAtMs + KEEP_MS && nowMs >= hold.seenAtMs - KEEP_MS;
}

/** The batches that calls are kept for: those that wait, and come again soon or when called. */
export function rivalsOf(holds: ReadonlyMap<string, Hold>, batch: string, nowMs: number): Asker[] {
  const rivals: Asker[] = [];
  for (const [name, hold] of holds) {
    if (name === batch || !waits(hold, nowMs)) continue;
    rivals.push({
      ...lately(hold, nowMs),
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

/** Gives those of one party what all of it have, as the asker says and the holds of the others. */
export function join(
  claimants: readonly Asker[],
  { batch: asking, held }: Ask,
  holds: ReadonlyMap<string, Hold>,
  parties: Parties,
  nowMs: number,
): void {
  const joined = new Map<string, Having>();
  for (const claimant of claimants) {
    const party = parties.of(claimant.batch);
    if (party === undefined) continue;
    const together = joined.get(party) ?? { held: 0, ...lately(parties.granted(party), nowMs) };
    joined.set(party, together);
    claimant.together = together;
  }
  if (joined.size === 0) return;
  const add = (batch: string, calls: number) => {
    const together = joined.get(parties.of(batch) ?? "");
    if (together) together.held += calls;
  };
  add(asking, held);
  for (const [batch, hold] of holds) {
    if (batch !== asking && hold.held > 0 && !isGone(hold, nowMs)) add(batch, hold.held);
  }
}

/** What was granted in the last seconds, as it has faded by now. */
export function lately(
  granted: Granted | undefined,
  nowMs: number,
): { calls: number; tokens: number } {
  if (granted === undefined) return { calls: 0, tokens: 0 };
  const left = Math.exp(-Math.abs(nowMs - granted.fadedAtMs) / FADE_MS);
  return { calls: granted.calls * left, tokens: granted.tokens * left };
}
