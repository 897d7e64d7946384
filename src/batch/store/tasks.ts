import { nextStep, type RetryRules } from "../../core/task.ts";
import type { Report } from "../exchange.ts";
import { outcomeOf } from "../outcome-line.ts";
import type { Ending } from "../schema.ts";
import { addProgress, type ProgressChange, sumProgress } from "./progress.ts";

/** A claimed task: what a consumer needs to call the upstream. */
export interface Claimed {
  seq: number;
  /** Fences the claim: only a report with the current number counts. */
  attempt: number;
  body: string;
}

type Open = { seq: number; cost: number };

/** The tasks' states. Every move is a guarded statement; counts move in the same transaction. */
export class Tasks {
  readonly #sql: SqlStorage;
  /** No task before this one is fresh (never attempted). Derived, so never stored. */
  #firstFresh: number | undefined;
  /** Where closing pending tasks goes on. */
  #closedTo = 0;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** The next `limit` tasks that may be handed out now: due retries first, then in input order. */
  next(limit: number, nowMs: number): Open[] {
    const again = this.#sql
      .exec<Open>(
        `SELECT seq, cost FROM task WHERE state = 'pending' AND attempt > 0 AND not_before <= ?
         ORDER BY not_before, seq LIMIT ?`,
        nowMs,
        limit,
      )
      .toArray();
    if (again.length === limit) return again;
    const fresh = this.#sql
      .exec<Open>(
        `SELECT seq, cost FROM task WHERE seq >= ? AND state = 'pending' AND attempt = 0
         ORDER BY seq LIMIT ?`,
        this.#fresh(),
        limit - again.length,
      )
      .toArray();
    return [...again, ...fresh];
  }

  /** How many tasks may be handed out now. */
  ready(pending: number, nowMs: number): number {
    const { parked } = this.#sql
      .exec<{ parked: number }>(
        `SELECT count(*) AS parked FROM task
         WHERE state = 'pending' AND attempt > 0 AND not_before > ?`,
        nowMs,
      )
      .one();
    return pending - parked;
  }

  /** When the next parked task is due, or undefined when none is parked. */
  nextDueMs(nowMs: number): number | undefined {
    const { due } = this.#sql
      .exec<{ due: number | null }>(
        `SELECT min(not_before) AS due FROM task
         WHERE state = 'pending' AND attempt > 0 AND not_before > ?`,
        nowMs,
      )
      .one();
    return due ?? undefined;
  }

  /** pending → running. Claims tasks for a holder, at most `maxBytes` of bodies but at least one. */
  claim(limit: number, holder: string, maxBytes: number, nowMs: number): Claimed[] {
    const claimed: Claimed[] = [];
    let bytes = 0;
    for (const { seq } of this.next(limit, nowMs)) {
      const { body } = this.#sql
        .exec<{ body: string }>("SELECT body FROM input WHERE seq = ?", seq)
        .one();
      bytes += body.length;
      if (bytes > maxBytes && claimed.length > 0) break;
      const [moved] = this.#sql
        .exec<{ attempt: number }>(
          `UPDATE task SET state = 'running', attempt = attempt + 1, holder = ?
           WHERE seq = ? AND state = 'pending' RETURNING attempt`,
          holder,
          seq,
        )
        .toArray();
      if (moved === undefined) continue;
      if (moved.attempt === 1) this.#firstFresh = seq + 1;
      claimed.push({ seq, attempt: moved.attempt, body });
    }
    if (claimed.length > 0) {
      addProgress(this.#sql, { pending: -claimed.length, running: claimed.length });
    }
    return claimed;
  }

  /**
   * running → succeeded | failed | pending, as the reports say. A report for an attempt that is not
   * the current one changes nothing.
   *
   * @returns tokens used beyond those reserved, over the reports that counted.
   */
  record(
    reports: readonly Report[],
    batchId: string,
    rules: RetryRules,
    nowMs: number,
    random: () => number,
  ): { extraTokens: number } {
    let change: ProgressChange = {};
    let extraTokens = 0;
    for (const report of reports) {
      const [task] = this.#sql
        .exec<{ custom_id: string; failures: number; cost: number }>(
          `SELECT custom_id, failures, cost FROM task
           WHERE seq = ? AND attempt = ? AND state = 'running'`,
          report.seq,
          report.attempt,
        )
        .toArray();
      if (task === undefined) continue;
      const step = nextStep(report.verdict, task.failures, rules, nowMs, random());
      this.#sql.exec(
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
      if (step.state !== "pending") {
        const outcome = outcomeOf(report, batchId, task.custom_id);
        const { bytes } = this.#sql
          .exec<{ bytes: number }>(
            `INSERT INTO outcome (seq, ok, retry, line, recorded_at) VALUES (?, ?, ?, ?, ?)
             RETURNING octet_length(line) + 1 AS bytes`,
            report.seq,
            step.state === "succeeded" ? 1 : 0,
            outcome.retry ? 1 : 0,
            outcome.line,
            nowMs,
          )
          .one();
        moved[step.state === "succeeded" ? "output_bytes" : "error_bytes"] = bytes;
      }
      const { usage } = report;
      // What a failed call used was not paid back either, but only answers say what they used.
      const used = usage ? usage.input_tokens + usage.output_tokens : 0;
      if (report.verdict.kind !== "retry" || usage) extraTokens += used - task.cost;
      change = sumProgress(change, usage ? { ...moved, ...usage } : moved);
    }
    if (reports.length > 0) addProgress(this.#sql, change);
    return { extraTokens };
  }

  /**
   * running → pending, for the claims of a holder that is gone, or that did not get them: all but
   * those in `keep`. The attempt number stays, so that a late report of the same attempt, which is
   * then not running, changes nothing.
   */
  requeue(holder: string, keep: readonly number[], nowMs: number): number {
    const moved = this.#sql
      .exec(
        `UPDATE task SET state = 'pending', holder = NULL, not_before = ?
         WHERE holder = ? AND state = 'running' AND seq NOT IN (SELECT value FROM json_each(?))
         RETURNING seq`,
        nowMs,
        holder,
        JSON.stringify(keep),
      )
      .toArray().length;
    if (moved > 0) addProgress(this.#sql, { running: -moved, pending: moved });
    return moved;
  }

  /** How many tasks a holder has. */
  heldBy(holder: string): number {
    return this.#sql
      .exec<{ held: number }>(
        "SELECT count(*) AS held FROM task WHERE holder = ? AND state = 'running'",
        holder,
      )
      .one().held;
  }

  /**
   * pending → cancelled | expired, for the next `limit` tasks, each with its output line.
   *
   * @param lineStem what the ids of the output lines begin with.
   */
  close(
    ending: Exclude<Ending, "completed">,
    lineStem: string,
    error: { code: string; message: string },
    limit: number,
    nowMs: number,
  ): void {
    // A task that was running when its batch ended may come back at any place: start over then.
    const [from, to, count] = this.#pendingRange(limit);
    if (count === 0) {
      this.#closedTo = 0;
      return;
    }
    const { bytes } = this.#sql
      .exec<{ bytes: number }>(
        `INSERT INTO outcome (seq, ok, retry, line, recorded_at)
         SELECT seq, 0, 1, '{"id":"' || ? || seq || '","custom_id":' || json_quote(custom_id)
           || ',"response":null,"error":' || ? || '}', ?
         FROM task WHERE seq BETWEEN ? AND ? AND state = 'pending'
         RETURNING octet_length(line) + 1 AS bytes`,
        lineStem,
        JSON.stringify(error),
        nowMs,
        from,
        to,
      )
      .toArray()
      .reduce((sum, row) => ({ bytes: sum.bytes + row.bytes }), { bytes: 0 });
    this.#sql.exec(
      "UPDATE task SET state = ? WHERE seq BETWEEN ? AND ? AND state = 'pending'",
      ending,
      from,
      to,
    );
    const change: ProgressChange = { pending: -count, error_bytes: bytes };
    change[ending] = count;
    addProgress(this.#sql, change);
    this.#closedTo = to + 1;
  }

  #pendingRange(limit: number): [from: number, to: number, count: number] {
    const { first, last, count } = this.#sql
      .exec<{ first: number | null; last: number | null; count: number }>(
        `SELECT min(seq) AS first, max(seq) AS last, count(*) AS count FROM
           (SELECT seq FROM task WHERE seq >= ? AND state = 'pending' ORDER BY seq LIMIT ?)`,
        this.#closedTo,
        limit,
      )
      .one();
    return [first ?? 0, last ?? 0, count];
  }

  #fresh(): number {
    this.#firstFresh ??=
      this.#sql
        .exec<{ seq: number | null }>(
          "SELECT min(seq) AS seq FROM task WHERE state = 'pending' AND attempt = 0",
        )
        .one().seq ?? Number.MAX_SAFE_INTEGER;
    return this.#firstFresh;
  }
}
