import { refusesKey, type Verdict } from "../../core/outcome.ts";
import type { Sql } from "../../core/sql.ts";
import { nextStep, type RetryRules } from "../../core/task.ts";
import { outputLineStem } from "../../wire/ids.ts";
import { byteLength } from "../../wire/request.ts";
import type { Report } from "../exchange.ts";
import { outcomeOf } from "../outcome-line.ts";
import type { ProgressChange } from "./progress.ts";
import { type NeedRow, RESERVED, type Reserved, released } from "./purse.ts";
import type { Store } from "./store.ts";

/** What recording a report showed, beside what it changed. */
export interface Recorded {
  /** Tokens used beyond those reserved. */
  extraTokens: number;
  /** Answers 401 since the last success. */
  unauthorized: number;
  /** The report as it counted; undefined when it was too late to count. */
  verdict: Verdict | undefined;
  /** Where its call went, by name; null where that was not kept. */
  upstream: string | null;
  /** When its task is tried again; undefined when it has ended. */
  againAtMs?: number;
  /** Whether its task has ended without success. */
  failed?: boolean;
}

/** How the way of a call stands, when its report comes. */
export interface Standing {
  /** Most of its calls are answered with something other than 429. */
  othersPass: boolean;
  /**
   * What a verdict means for its task, where there are other ways: what is the upstream's own trouble
   * costs no attempt, as a 429 does not, and need not be waited for. Nor does a key that it refuses.
   */
  meaning(verdict: Verdict, isKeyRefused?: boolean): Verdict;
}

type Held = {
  state: "running" | "pending";
  failures: number;
  throttles: number;
  throttles_alone: number;
  throttled_at_success: number;
  claimed_at: number;
} & Done;

/** What must be known of a task that is done. */
type Done = { custom_id: string; upstream: string | null } & Pick<NeedRow, "cost" | "price"> &
  Reserved;
const DONE = `custom_id, upstream, cost, price, ${RESERVED}`;

/** What recording writes to. */
type Written = Pick<Store, "sql" | "counts" | "purse" | "twins">;

/**
 * running → succeeded | failed | pending, as the report says. A report for an attempt that is not
 * the current one changes nothing. One whose task was taken back, but not handed out again, counts:
 * the answer is there, and paid for. Saying it twice is saying it once. Run it inside a transaction.
 *
 * @param standing how the way stands that the call went.
 */
export function record(
  store: Written,
  report: Report,
  batchId: string,
  rules: RetryRules,
  nowMs: number,
  random: number,
  standing: (upstream: string | null) => Standing,
): Recorded {
  const { sql, counts, purse } = store;
  if (report.verdict.kind === "succeeded") {
    const [done] = sql.exec<Done>(SUCCEED, report.seq, report.attempt).toArray();
    if (done !== undefined)
      return end(store, report, batchId, { ...done, state: "running" }, nowMs);
  }
  const { unauthorized, succeeded } = counts.get();
  const [task] = sql
    .exec<Held>(
      `SELECT state, failures, throttles, throttles_alone, throttled_at_success,
         claimed_at, ${DONE} FROM task WHERE seq = ?1 AND attempt = ?2 AND (state = 'running' OR
         state = 'pending' AND EXISTS (SELECT 1 FROM attempt
           WHERE seq = ?1 AND attempt = ?2 AND verdict = 'lost' AND took_ms IS NULL))`,
      report.seq,
      report.attempt,
    )
    .toArray();
  if (task === undefined) {
    countLate(store, report);
    return { extraTokens: 0, unauthorized, verdict: undefined, upstream: null };
  }
  const { upstream } = task;
  const { othersPass, meaning } = standing(upstream);
  const throttled = report.verdict.kind === "throttled";
  // A 429 while others are answered is about this task, not about the upstream.
  const seen = task.throttled_at_success;
  const isAlone = throttled && othersPass && seen >= 0 && succeeded > seen;
  const alone = task.throttles_alone + (isAlone ? 1 : 0);
  const verdict = alone >= THROTTLES_ALONE ? asRetry(report.verdict) : report.verdict;
  const meant = meaning(verdict, isKeyRefused(report));
  const step = nextStep(meant, task, rules, nowMs, random);
  sql.exec(
    `UPDATE task SET state = ?, failures = ?, throttles = ?, throttles_alone = ?,
       throttled_at_success = ?, not_before = ?, holder = NULL
     WHERE seq = ? AND attempt = ? AND state IN ('running', 'pending')`,
    step.state,
    step.state === "pending" ? step.failures : task.failures,
    task.throttles + (throttled || meant.kind === "throttled" ? 1 : 0),
    alone,
    throttled ? succeeded : seen,
    step.state === "pending" ? step.notBeforeMs : 0,
    report.seq,
    report.attempt,
  );
  const said = { ...report, verdict };
  if (step.state !== "pending") return end(store, said, batchId, task, nowMs);
  addAttempt(sql, said, upstream, task.claimed_at, nowMs);
  // One that was given back goes another way, and is no sign that all calls of the batch are refused.
  const refused = isRefused(report) && meant.kind !== "throttled" ? 1 : 0;
  const change: ProgressChange = { ...purse.spent(report.usage, task), unauthorized: refused };
  if (task.state === "running")
    Object.assign(change, released([task]), { running: -1, pending: 1 });
  counts.add(change);
  const extraTokens = extraTokensOf(report, task.cost);
  const againAtMs = step.notBeforeMs;
  return { extraTokens, unauthorized: unauthorized + refused, verdict, upstream, againAtMs };
}

/** running → succeeded, which is what most reports say, without reading the task first. */
const SUCCEED = `
  UPDATE task SET state = 'succeeded', not_before = 0, holder = NULL
  WHERE seq = ? AND attempt = ? AND state = 'running' RETURNING ${DONE}`;

/** The outcome of a task that has just moved to a final state, and what it changes in the counts. */
function end(
  { sql, counts, purse, twins }: Written,
  report: Report,
  batchId: string,
  task: Done & Pick<Held, "state">,
  nowMs: number,
): Recorded {
  const { verdict } = report;
  const succeeded = verdict.kind === "succeeded";
  const { ok, retry, line } = outcomeOf(report, batchId, task.custom_id);
  // Answered, and yet no success: the answer cannot be kept.
  if (!ok && succeeded) sql.exec("UPDATE task SET state = 'failed' WHERE seq = ?", report.seq);
  sql.exec(
    "INSERT INTO outcome (seq, ok, retry, took_ms, recorded_at, line) VALUES (?, ?, ?, ?, ?, ?)",
    report.seq,
    ok ? 1 : 0,
    retry ? 1 : 0,
    report.tookMs,
    nowMs,
    line,
  );
  const { unauthorized } = counts.get();
  const now = succeeded ? 0 : unauthorized + (isRefused(report) ? 1 : 0);
  const change: ProgressChange = {
    ...purse.spent(report.usage, task),
    unauthorized: now - unauthorized,
  };
  if (task.state === "running") Object.assign(change, released([task]));
  else forgetLoss(sql, report);
  change[task.state] = -1;
  change[ok ? "succeeded" : "failed"] = 1;
  change[ok ? "output_bytes" : "error_bytes"] = byteLength(line) + 1;
  counts.add(change);
  twins.endedOne(report.seq, outputLineStem(batchId), nowMs);
  const { upstream } = task;
  const extraTokens = extraTokensOf(report, task.cost);
  return { extraTokens, unauthorized: now, verdict, upstream, failed: !ok };
}

/**
 * Counts what a call took whose task was given to somebody else meanwhile: its answer is of no use,
 * but paid for. Once: the row of the lost attempt then knows how long the call took, and a report of
 * it counts no more, even if its task is open again.
 */
function countLate({ sql, counts, purse }: Written, report: Report): void {
  if (report.usage === undefined) return;
  const { result, seq, attempt } = report;
  const counted = sql
    .exec(
      `UPDATE attempt SET took_ms = ?, status_code = ?
       WHERE seq = ? AND attempt = ? AND verdict = 'lost' AND took_ms IS NULL RETURNING seq`,
      report.tookMs,
      result.kind === "answered" ? result.status : null,
      seq,
      attempt,
    )
    .toArray();
  if (counted.length === 0) return;
  const task = sql.exec<Done>(`SELECT ${DONE} FROM task WHERE seq = ?`, seq).one();
  counts.add(purse.spent(report.usage, task));
}

/** An attempt that ended its task has no row of its own, and was not lost after all. */
function forgetLoss(sql: Sql, { seq, attempt }: Report): void {
  sql.exec("DELETE FROM attempt WHERE seq = ? AND attempt = ? AND verdict = 'lost'", seq, attempt);
}

/** Whether a report says that the upstream does not take the key; see {@link refusesKey}. */
export function isKeyRefused({ result }: Report): boolean {
  return result.kind === "answered" && refusesKey(result.status, result.body);
}

function isRefused({ result }: Report): boolean {
  return result.kind === "answered" && result.status === 401;
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

function addAttempt(
  sql: Sql,
  report: Report,
  upstream: string | null,
  startedAtMs: number,
  nowMs: number,
): void {
  const { result } = report;
  // In place of "lost", if it was taken for that: the attempt is over now, and counts no second time.
  sql.exec(
    `INSERT OR REPLACE INTO attempt
       (seq, attempt, started_at, ended_at, took_ms, verdict, status_code, error, upstream)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    report.seq,
    report.attempt,
    startedAtMs,
    nowMs,
    report.tookMs,
    report.verdict.kind,
    result.kind === "answered" ? result.status : null,
    result.kind === "answered" ? `The upstream answered ${result.status}.` : result.message,
    upstream,
  );
}
