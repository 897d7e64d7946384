import { fullJitterMs } from "./backoff.ts";
import type { Verdict } from "./outcome.ts";

/**
 * A task's states. `pending` and `running` are open, the others final:
 * pending → running → succeeded | failed; running → pending for a retry;
 * pending → cancelled | expired when its batch ends before its turn.
 */
export const TASK_STATES = [
  "pending",
  "running",
  "succeeded",
  "failed",
  "cancelled",
  "expired",
] as const;
export type TaskState = (typeof TASK_STATES)[number];

/** How often and how patiently a failing task is tried again. */
export interface RetryRules {
  maxAttempts: number;
  baseMs: number;
  maxMs: number;
}

/** Where a running task goes after an attempt. */
export type Step =
  | { state: "succeeded" | "failed" }
  | { state: "pending"; failures: number; notBeforeMs: number };

/** What a task has behind it: attempts that failed, and 429s, which are none. */
export interface Past {
  failures: number;
  throttles: number;
}

/**
 * The step after an attempt's verdict. A throttled attempt is no failure: the task waits as long as
 * the upstream said and keeps all its attempts; one that is throttled again and again waits longer
 * by itself, up to an hour, so that it does not rest the upstream for all others. A failed one waits
 * with full jitter, or as long as the upstream said when that is longer.
 *
 * @param random in [0, 1).
 */
export function nextStep(
  verdict: Verdict,
  past: Past,
  rules: RetryRules,
  nowMs: number,
  random: number,
): Step {
  const { failures, throttles } = past;
  switch (verdict.kind) {
    case "succeeded":
    case "failed":
      return { state: verdict.kind };
    case "throttled": {
      const waitMs = Math.max(ownWaitMs(throttles, random), told(verdict.afterMs));
      return { state: "pending", failures, notBeforeMs: nowMs + waitMs };
    }
    case "retry": {
      const failed = failures + 1;
      if (failed >= rules.maxAttempts) return { state: "failed" };
      const jitterMs = fullJitterMs({
        failures: failed,
        baseMs: rules.baseMs,
        maxMs: rules.maxMs,
        random,
      });
      const waitMs = Math.max(jitterMs, told(verdict.afterMs));
      return { state: "pending", failures: failed, notBeforeMs: nowMs + Math.ceil(waitMs) };
    }
  }
}

/** 429s of one task that are left to the upstream's own cooldown. */
const THROTTLES_SHARED = 3;
const OWN_WAIT_BASE_MS = 1_000;
const OWN_WAIT_MAX_MS = 3_600_000;

function ownWaitMs(throttles: number, random: number): number {
  if (throttles < THROTTLES_SHARED) return 0;
  return fullJitterMs({
    failures: throttles - THROTTLES_SHARED + 1,
    baseMs: OWN_WAIT_BASE_MS,
    maxMs: OWN_WAIT_MAX_MS,
    random,
  });
}

/** The longest wait an upstream can ask for: that of the longest window there is. */
const TOLD_MAX_MS = 30 * 86_400_000;

function told(afterMs: number | undefined): number {
  return Math.ceil(Math.min(afterMs ?? 0, TOLD_MAX_MS));
}
