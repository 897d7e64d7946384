import type { Sql } from "../../core/sql.ts";
import { nextStep, type RetryRules } from "../../core/task.ts";
import type { Report } from "../exchange.ts";
import { outcomeOf } from "../outcome-line.ts";
import { addProgress, type ProgressChange, readProgress, sumProgress } from "./progress.ts";

/** What recording showed, beside what it changed. */
export interface Recorded {
  /** Tokens used beyond those reserved, over the reports that counted. */
  extraTokens: number;
  /** Answers 401 since the last success. */
  unauthorized: number;
}

type Running = { custom_id: string; failures: number; cost: number; claimed_at: number };

/**
 * running → succeeded | failed | pending, as the reports say. A report for an attempt that is not
 * the current one changes nothing. Run it inside a transaction.
 */
export function record(
  sql: Sql,
  reports: readonly Report[],
  batchId: string,
  rules: RetryRules,
  nowMs: number,
  random: () => number,
): Recorded {
  const before = readProgress(sql)?.unauthorized ?? 0;
  let unauthorized = before;
  let change: ProgressChange = {};
  let extraTokens = 0;
  for (const report of reports) {
    const [task] = sql
      .exec<Running>(
        `SELECT custom_id, failures, cost, claimed_at FROM task
         WHERE seq = ? AND attempt = ? AND state = 'running'`,
        report.seq,
        report.attempt,
      )
      .toArray();
    if (task === undefined) continue;
    const step = nextStep(report.verdict, task.failures, rules, nowMs, random());
    sql.exec(
      `UPDATE task SET state = ?, failures = ?, not_before = ?, holder = NULL
       WHERE seq = ? AND attempt = ? AND state = 'running'`,
      step.state,
      step.state === "pending" ? step.failures : task.failures,
      step.state === "pending" ? step.notBeforeMs : 0,
      report.seq,
      report.attempt,
    );
    const moved: ProgressChange = { running: -1 };
    moved[step.state] = 1;
    if (step.state === "pending") {
      addAttempt(sql, report, task.claimed_at, nowMs);
    } else {
      const ok = step.state === "succeeded";
      moved[ok ? "output_bytes" : "error_bytes"] = addOutcome(
        sql,
        report,
        ok,
        batchId,
        task.custom_id,
        nowMs,
      );
    }
    if (step.state === "succeeded") unauthorized = 0;
    else if (report.result.kind === "answered" && report.result.status === 401) unauthorized += 1;
    const { usage } = report;
    // What a failed call used was not paid back either, but only answers say what they used.
    const used = usage ? usage.input_tokens + usage.output_tokens : 0;
    if (report.verdict.kind !== "retry" || usage) extraTokens += used - task.cost;
    change = sumProgress(change, usage ? { ...moved, ...usage } : moved);
  }
  addProgress(sql, { ...change, unauthorized: unauthorized - before });
  return { extraTokens, unauthorized };
}

/** @returns the bytes of the outcome's line in its file. */
function addOutcome(
  sql: Sql,
  report: Report,
  ok: boolean,
  batchId: string,
  customId: string,
  nowMs: number,
): number {
  const { line, retry } = outcomeOf(report, batchId, customId);
  return sql
    .exec<{ bytes: number }>(
      `INSERT INTO outcome (seq, ok, retry, took_ms, recorded_at, line)
       VALUES (?, ?, ?, ?, ?, ?) RETURNING octet_length(line) + 1 AS bytes`,
      report.seq,
      ok ? 1 : 0,
      retry ? 1 : 0,
      report.tookMs,
      nowMs,
      line,
    )
    .one().bytes;
}

function addAttempt(sql: Sql, report: Report, startedAtMs: number, nowMs: number): void {
  const { result } = report;
  sql.exec(
    `INSERT OR IGNORE INTO attempt
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
