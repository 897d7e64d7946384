import { fullJitterMs } from "./backoff.ts";
import type { Verdict } from "./outcome.ts";

/**
 * A task's states. `pending` and `running` are open, the others final:
 * pending → running → succeeded | failed; running → pending for a retry;
 * pending → cancelled | expired when its batch ends before its turn.
 */
export type TaskState = "pending" | "running" | "succeeded" | "failed" | "cancelled" | "expired";

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

/**
 * The step after an attempt's verdict. A throttled attempt is no failure: the task waits as long as
 * the upstream said and keeps all its attempts. A failed one waits with full jitter, or as long as
 * the upstream said when that is longer.
 *
 * @param failures attempts of this task that failed before this one.
 * @param random in [0, 1).
 */
export function nextStep(
  verdict: Verdict,
  failures: number,
  rules: RetryRules,
  nowMs: number,
  random: number,
): Step {
  switch (verdict.kind) {
    case "succeeded":
    case "failed":
      return { state: verdict.kind };
    case "throttled":
      return { state: "pending", failures, notBeforeMs: nowMs + told(verdict.afterMs) };
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

/** The longest wait an upstream can ask for: that of the longest window there is. */
const TOLD_MAX_MS = 30 * 86_400_000;

function told(afterMs: number | undefined): number {
  return Math.ceil(Math.min(afterMs ?? 0, TOLD_MAX_MS));
}
