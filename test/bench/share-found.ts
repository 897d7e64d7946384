import type { Timeline } from "../../src/simulator/index.ts";

/** The time that a limit may take to be found, from its first 429 on. */
const FINDING_S = 10;

/**
 * The part of a rate (calls a second) that answers made use of, from ten seconds after the first
 * second with a 429, or with an answer when there was none, to the last but one with an answer. Null
 * when the run was over by then.
 */
export function shareFound({ answered, throttled }: Timeline, perSecond: number): number | null {
  const found = throttled.findIndex((count) => count > 0);
  const first = found >= 0 ? found : answered.findIndex((count) => count > 0);
  const last = answered.findLastIndex((count) => count > 0);
  const after = answered.slice(first + FINDING_S, last);
  if (first < 0 || after.length === 0) return null;
  return after.reduce((sum, count) => sum + count, 0) / after.length / perSecond;
}
