import { type Breaker, isDown } from "../core/breaker.ts";
import { paceOf } from "../core/pace.ts";
import type { Quota } from "../core/quota.ts";
import type { DecisionEvent } from "../log.ts";

/** A pace that changes by less than this part is not logged: it rises a little all the time. */
const PACE_CHANGED = 0.05;

/**
 * What was decided of a quota between two looks at it: it rests, goes at another pace after 429s, or
 * was told other limits by the headers of an answer.
 */
export function quotaDecisions(
  quota: string,
  before: Readonly<Quota>,
  after: Readonly<Quota>,
  nowMs: number,
): DecisionEvent[] {
  const decided: DecisionEvent[] = [];
  if (after.cooldownUntilMs > Math.max(before.cooldownUntilMs, nowMs)) {
    const rest_ms = after.cooldownUntilMs - nowMs;
    decided.push({ event: "quota_rests", quota, rest_ms, throttles: after.throttles });
  }
  const was = paceOf(before.learned.pace)?.perMinute ?? null;
  const is = paceOf(after.learned.pace)?.perMinute ?? null;
  // A cut, the first pace, and none any more; a rise is a cut's slow undoing.
  const cut = was !== null && is !== null && is < was * (1 - PACE_CHANGED);
  if (cut || (was === null) !== (is === null)) {
    decided.push({ event: "quota_paced", quota, per_minute: is === null ? null : Math.round(is) });
  }
  const rpm = after.learned.requests?.perMinute ?? null;
  const tpm = after.learned.tokens?.perMinute ?? null;
  const { requests, tokens } = before.learned;
  if (rpm !== (requests?.perMinute ?? null) || tpm !== (tokens?.perMinute ?? null)) {
    decided.push({ event: "quota_told", quota, rpm, tpm });
  }
  return decided;
}

/** What was decided of a quota's upstream: it is down, or answers again. */
export function breakerDecisions(
  quota: string,
  before: Readonly<Breaker>,
  after: Readonly<Breaker>,
): DecisionEvent[] {
  const was = isDown(before);
  if (was === isDown(after)) return [];
  if (was) return [{ event: "quota_up", quota, probes: before.probes }];
  return [{ event: "quota_down", quota, failures: after.failures }];
}
