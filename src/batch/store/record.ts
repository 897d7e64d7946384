import type { Verdict } from "../../core/outcome.ts";
import type { Sql } from "../../core/sql.ts";
import { nextStep, type RetryRules, type TaskState } from "../../core/task.ts";
import type { Report } from "../exchange.ts";
import { type Outcome, outcomeOf } from "../outcome-line.ts";
import type { ProgressChange } from "./progress.ts";
import type { Store } from "./store.ts";

/** What recording a report showed, beside what it changed. */
export interface Recorded {
  /** Tokens used beyond those reserved. */
  extraTokens: number;
  /** Answers 401 since the last success. */
  unauthorized: number;
  /** The report as it counted; undefined when it was too late to count. */
  verdict: Verdict | undefined;
}

type Held = {
  state: "running" | "pending";
  custom_id: string;
  failures: number;
  throttles: number;
  throttles_alone: number;
  throttled_at_success: number;
  cost: number;
  claimed_at: number;
};

/**
 * running → succeeded | failed | pending, as the report says. A report for an attempt that is not
 * the current one changes nothing. One whose task was taken back, but not handed out again, counts:
 * the answer is there, and paid for. Saying it twice is saying it once. Run it inside a transaction.
 */
export function record(
  { sql, counts }: Pick<Store, "sql" | "counts">,
  report: Report,
  batchId: string,
  rules: RetryRules,
  nowMs: number,
  random: number,
): Recorded {
  const { unauthorized, succeeded } = counts.get();
  const [task] = sql
    .exec<Held>(
      `SELECT state, custom_id, failures, throttles, throttles_alone, throttled_at_success, cost,
         claimed_at FROM task WHERE seq = ?1 AND attempt = ?2 AND (state = 'running' OR
         state = 'pending' AND EXISTS (SELECT 1 FROM attempt
           WHERE seq = ?1 AND attempt = ?2 AND verdict = 'lost'))`,
      report.seq,
      report.attempt,
    )
    .toArray();
  if (task === undefined) return { extraTokens: 0, unauthorized, verdict: undefined };
  const throttled = report.verdict.kind === "throttled";
  // A 429 while others are answered is about this task, not about the upstream.
  const seen = task.throttled_at_success;
  const alone = task.throttles_alone + (throttled && seen >= 0 && succeeded > seen ? 1 : 0);
  const verdict = alone >= THROTTLES_ALONE ? asRetry(report.verdict) : report.verdict;
  const step = nextStep(verdict, task, rules, nowMs, random);
  sql.exec(
    `UPDATE task SET state = ?, failures = ?, throttles = ?, throttles_alone = ?,
       throttled_at_success = ?, not_before = ?, holder = NULL
     WHERE seq = ? AND attempt = ? AND state IN ('running', 'pending')`,
    step.state,
    step.state === "pending" ? step.failures : task.failures,
    task.throttles + (throttled ? 1 : 0),
    alone,
    throttled ? succeeded : seen,
    step.state === "pending" ? step.notBeforeMs : 0,
    report.seq,
    report.attempt,
  );
  const change: ProgressChange = { ...report.usage };
  const move = (state: TaskState, by: number): void => {
    change[state] = (change[state] ?? 0) + by;
  };
  move(task.state, -1);
  if (step.state === "pending") {
    move("pending", 1);
    addAttempt(sql, { ...report, verdict }, task.claimed_at, nowMs);
  } else {
    const outcome = outcomeOf({ ...report, verdict }, batchId, task.custom_id);
    move(outcome.ok ? "succeeded" : "failed", 1);
    if (!outcome.ok && step.state === "succeeded") {
      sql.exec("UPDATE task SET state = 'failed' WHERE seq = ?", report.seq);
    }
    change[outcome.ok ? "output_bytes" : "error_bytes"] = addOutcome(sql, report, outcome, nowMs);
  }
  const { result } = report;
  const refused = result.kind === "answered" && result.status === 401;
  const now = step.state === "succeeded" ? 0 : unauthorized + (refused ? 1 : 0);
  counts.add({ ...change, unauthorized: now - unauthorized });
  return { extraTokens: extraTokensOf(report, task.cost), unauthorized: now, verdict };
}

/**
 * After this many 429s that came while other calls were answered, a task's 429s cost it attempts and
 * no longer rest the upstream: a request too large for the quota is told by a 429, too.
 */
const THROTTLES_ALONE = 3;

function asRetry(verdict: Verdict): Verdict {
  return verdict.kind === "throttled" ? { kind: "retry", afterMs: verdict.afterMs } : verdict;
}

/** What a failed call used is not known and stays reserved; a refused one used nothing. */
function extraTokensOf({ verdict, usage }: Report, cost: number): number {
  if (usage) return usage.input_tokens + usage.output_tokens - cost;
  return verdict.kind === "retry" ? 0 : -cost;
}

/** @returns the bytes of the outcome's line in its file. */
function addOutcome(sql: Sql, report: Report, outcome: Outcome, nowMs: number): number {
  return sql
    .exec<{ bytes: number }>(
      `INSERT INTO outcome (seq, ok, retry, took_ms, recorded_at, line)
       VALUES (?, ?, ?, ?, ?, ?) RETURNING octet_length(line) + 1 AS bytes`,
      report.seq,
      outcome.ok ? 1 : 0,
      outcome.retry ? 1 : 0,
      report.tookMs,
      nowMs,
      outcome.line,
    )
    .one().bytes;
}

function addAttempt(sql: Sql, report: Report, startedAtMs: number, nowMs: number): void {
  const { result } = report;
  // In place of "lost", if it was taken for that: the attempt is over now, and counts no second time.
  sql.exec(
    `INSERT OR REPLACE INTO attempt
       (seq, attempt, started_at, ended_at, took_ms, verdict, status_code, error)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    report.seq,
    report.attempt,
    startedAtMs,
    nowMs,
    report.tookMs,
    report.verdict.kind,
    result.kind === "answered" ? result.status : null,
    result.kind === "answered" ? `The upstream answered ${result.status}.` : result.message,
  );
}
