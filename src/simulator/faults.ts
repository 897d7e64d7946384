import { chance } from "./chance.ts";
import type { Fault } from "./settings.ts";

/** The kinds that start a 200 answer, and so come after the call's latency. */
const answering = new Set<Fault["kind"]>([
  "hang_body",
  "truncated",
  "stream_error",
  "not_json",
  "huge",
  "pretty",
]);

/** One call, as faults see it. */
export interface Target {
  prompt: string;
  digest: string;
  /** Which call of this prompt it is, counting from 1 those that the limits let through. */
  attempt: number;
}

/** The fault that hits a call: the first in the list that does. */
export function pickFault(
  faults: readonly Fault[],
  seed: number,
  target: Target,
): Fault | undefined {
  return faults.find((fault, index) => hits(fault, index, seed, target));
}

function hits(fault: Fault, index: number, seed: number, target: Target): boolean {
  const last = fault.attempts === "first" ? 1 : fault.attempts;
  if (last !== "always" && target.attempt > last) return false;
  if (fault.match !== undefined && !target.prompt.includes(fault.match)) return false;
  return fault.rate >= 1 || chance(target.digest, seed, index) < fault.rate;
}

/** How long a call waits before its fault hits, in milliseconds. */
export function faultDelayMs(fault: Fault, latencyMs: number): number {
  if (fault.afterMs === "latency") return latencyMs;
  return fault.afterMs ?? (answering.has(fault.kind) ? latencyMs : 0);
}
