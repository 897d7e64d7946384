import type { Sql } from "../../core/sql.ts";
import type { TaskState } from "../../core/task.ts";
import type { Progress, ProgressChange } from "./progress.ts";
import { RESERVED, type Reserved, released } from "./purse.ts";
import type { Twins } from "./twins.ts";

/** How tasks end without an answer: their state, and the error in their output line. */
export interface Close {
  state: Exclude<TaskState, "pending" | "running" | "succeeded">;
  error: { code: string; message: string };
}

/** Ends tasks that will not be called: pending ones, when their batch ends early. */
export class Closing {
  readonly #sql: Sql;
  readonly #counts: Progress;
  readonly #twins: Twins;
  /** Where closing pending tasks goes on. */
  #closedTo = 0;

  constructor(sql: Sql, counts: Progress, twins: Twins) {
    this.#sql = sql;
    this.#counts = counts;
    this.#twins = twins;
  }

  /**
   * pending → a final state, for the next `limit` tasks, each with its output line. Run it inside a
   * transaction, until no task is pending but twins, who end as their originals do.
   *
   * @param lineStem what the ids of the output lines begin with.
   */
  next(close: Close, lineStem: string, limit: number, nowMs: number): void {
    const { first, last } = this.#sql
      .exec<{ first: number | null; last: number | null }>(
        `SELECT min(seq) AS first, max(seq) AS last FROM
           (SELECT seq FROM task WHERE seq >= ? AND state = 'pending' AND twin_of IS NULL
            ORDER BY seq LIMIT ?)`,
        this.#closedTo,
        limit,
      )
      .one();
    // A task that was running when its batch ended may come back at any place: start over then.
    this.#closedTo = last === null ? 0 : last + 1;
    if (first === null || last === null) return;
    this.#end("pending", "seq BETWEEN ? AND ?", [first, last], close, lineStem, nowMs);
  }

  /** running → a final state, for the tasks of a lost holder that were lost `losses` times before. */
  lost(holder: string, close: Close, losses: number, lineStem: string, nowMs: number): void {
    const where = `holder = ? AND ? <= (SELECT count(*) FROM attempt
      WHERE attempt.seq = task.seq AND attempt.verdict = 'lost')`;
    // Its call may still be answered, and what that took is counted then.
    this.#sql.exec(
      `INSERT OR IGNORE INTO attempt (seq, attempt, started_at, ended_at, verdict, error, upstream)
       SELECT seq, attempt, claimed_at, ?, 'lost', ?, upstream FROM task WHERE state = 'running' AND ${where}`,
      nowMs,
      close.error.message,
      holder,
      losses,
    );
    this.#end("running", where, [holder, losses], close, lineStem, nowMs);
  }

  /**
   * pending → failed, for tasks that the budget will not pay for any more.
   */
  unaffordable(seqs: readonly number[], close: Close, lineStem: string, nowMs: number): void {
    const where = "seq IN (SELECT value FROM json_each(?))";
    const ended = this.#end("pending", where, [JSON.stringify(seqs)], close, lineStem, nowMs);
    this.#counts.add({ budget_stopped: ended });
  }

  #end(
    from: "pending" | "running",
    where: string,
    bindings: (string | number)[],
    close: Close,
    lineStem: string,
    nowMs: number,
  ): number {
    const these = `state = '${from}' AND twin_of IS NULL AND ${where}`;
    const lines = this.#sql
      .exec<{ bytes: number }>(
        `INSERT INTO outcome (seq, ok, retry, recorded_at, line)
         SELECT seq, 0, 1, ?, '{"id":"' || ? || seq || '","custom_id":' || json_quote(custom_id)
           || ',"response":null,"error":' || ? || '}'
         FROM task WHERE ${these}
         RETURNING octet_length(line) + 1 AS bytes`,
        nowMs,
        lineStem,
        JSON.stringify(close.error),
        ...bindings,
      )
      .toArray();
    const moved = this.#sql
      .exec<Reserved & { seq: number }>(
        `UPDATE task SET state = ?, holder = NULL WHERE ${these} RETURNING seq, ${RESERVED}`,
        close.state,
        ...bindings,
      )
      .toArray();
    const change: ProgressChange = from === "running" ? released(moved) : {};
    change[from] = -lines.length;
    change[close.state] = lines.length;
    change.error_bytes = lines.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#counts.add(change);
    this.#twins.ended(moved.map(({ seq }) => seq));
    return lines.length;
  }
}
