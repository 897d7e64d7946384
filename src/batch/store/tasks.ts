import type { Sql } from "../../core/sql.ts";
import { addProgress } from "./progress.ts";

/** A claimed task: what a consumer needs to call the upstream. */
export interface Claimed {
  seq: number;
  /** Fences the claim: only a report with the current number counts. */
  attempt: number;
  body: string;
}

type Open = { seq: number; cost: number };

/** The tasks' states up to their outcome. Every move is a guarded statement; counts move in the same transaction. */
export class Tasks {
  readonly #sql: Sql;
  /** No task before this one is fresh (never attempted). Derived, so never stored. */
  #firstFresh: number | undefined;

  constructor(sql: Sql) {
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
          `UPDATE task SET state = 'running', attempt = attempt + 1, holder = ?, claimed_at = ?
           WHERE seq = ? AND state = 'pending' RETURNING attempt`,
          holder,
          nowMs,
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
   * running → pending, for the claims of a holder that is gone, or that never heard of them: all
   * but those in `keep`. The attempt is over, so a late report of it changes nothing.
   *
   * @returns how many went back.
   */
  requeue(holder: string, keep: readonly number[], nowMs: number): number {
    const kept = JSON.stringify(keep);
    this.#sql.exec(
      `INSERT OR IGNORE INTO attempt (seq, attempt, started_at, ended_at, verdict, error)
       SELECT seq, attempt, claimed_at, ?, 'lost', ? FROM task
       WHERE holder = ? AND state = 'running' AND seq NOT IN (SELECT value FROM json_each(?))`,
      nowMs,
      "The consumer that had this task was not heard again; whether it called is not known.",
      holder,
      kept,
    );
    const moved = this.#sql
      .exec(
        `UPDATE task SET state = 'pending', holder = NULL, not_before = ?
         WHERE holder = ? AND state = 'running' AND seq NOT IN (SELECT value FROM json_each(?))
         RETURNING seq`,
        nowMs,
        holder,
        kept,
      )
      .toArray().length;
    if (moved > 0) addProgress(this.#sql, { running: -moved, pending: moved });
    return moved;
  }

  /** failed | cancelled | expired → pending, with all their attempts anew; outcomes go. */
  rerun(nowMs: number): number {
    this.#sql.exec("DELETE FROM outcome WHERE ok = 0");
    const moved = this.#sql
      .exec(
        `UPDATE task SET state = 'pending', failures = 0, not_before = ?
         WHERE state IN ('failed', 'cancelled', 'expired') RETURNING seq`,
        nowMs,
      )
      .toArray().length;
    this.#firstFresh = undefined;
    this.#sql.exec(
      `UPDATE progress SET pending = pending + failed + cancelled + expired, failed = 0,
         cancelled = 0, expired = 0, error_bytes = 0, unauthorized = 0`,
    );
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
