import type { Amount } from "../../core/budget.ts";
import type { Sql } from "../../core/sql.ts";
import type { Claim } from "../exchange.ts";
import type { BatchRows } from "./batch-row.ts";
import { keepLastAttempts } from "./history.ts";
import type { Progress } from "./progress.ts";
import { NEED, type NeedRow, type Purse, RESERVED, type Reserved, released } from "./purse.ts";
import { countDue, countFresh, countPaid, ORIGINAL } from "./ready.ts";

/** A claimed task: what a consumer needs to call the upstream. */
export interface Claimed {
  seq: number;
  /** Fences the claim: only a report with the current number counts. */
  attempt: number;
  body: string;
}

type Open = NeedRow & { seq: number; bytes: number };

/** A task that may be handed out, and what its call reserves if the batch has a budget. */
interface Next<T> {
  row: T;
  reserve: Amount | undefined;
}

/** CROSS JOIN: left to itself the planner would read all of `input` first. */
const retries = (columns: string) => `
  SELECT seq, ${columns}, octet_length(body) AS bytes FROM task CROSS JOIN input USING (seq)
  WHERE state = 'pending' AND attempt > 0 AND not_before <= ? ORDER BY not_before, seq LIMIT ?`;
const freshes = (columns: string) => `
  SELECT seq, ${columns}, octet_length(body) AS bytes FROM task CROSS JOIN input USING (seq)
  WHERE seq >= ? AND state = 'pending' AND attempt = 0 ORDER BY seq LIMIT ?`;

/** The same where some tasks are twins: by an index that has no twins, which may be most. */
const originals = (columns: string) => `
  SELECT seq, ${columns}, octet_length(body) AS bytes
  FROM task INDEXED BY task_fresh CROSS JOIN input USING (seq)
  WHERE seq >= ? AND body_hash IS NOT NULL AND state = 'pending' AND attempt = 0
  ORDER BY seq LIMIT ?`;

/** The statements for what is read of the tasks that are next: only their cost, or all. */
const statements = (columns: string) => ({
  retries: retries(columns),
  freshes: freshes(columns),
  originals: originals(columns),
});
const COSTS = statements(NEED);
const BODIES = statements(`${NEED}, body`);

/** The tasks' states up to their outcome. Every move is a guarded statement; counts move in the same transaction. */
export class Tasks {
  readonly #sql: Sql;
  readonly #counts: Progress;
  readonly #purse: Purse;
  readonly #rows: BatchRows;
  /** No task before this one is fresh (never attempted). Derived, so never stored. */
  #firstFresh: number | undefined;
  #runningBy: { counts: object; by: ReadonlyMap<string | null, number> } | undefined;
  /** How many were ready when that was last counted, up to `cap`: asked several times an exchange. */
  #ready:
    | { counts: object; row: object | undefined; nowMs: number; cap: number; ready: number }
    | undefined;

  constructor(sql: Sql, counts: Progress, purse: Purse, rows: BatchRows) {
    this.#sql = sql;
    this.#counts = counts;
    this.#purse = purse;
    this.#rows = rows;
  }

  /**
   * The next tasks that may be handed out now: due retries first, then in input order, up to the
   * first that the budget does not pay for. At most `limit` of them and `maxBytes` of bodies, but at
   * least one.
   */
  next(limit: number, maxBytes: number, nowMs: number): Open[] {
    return this.#next<Open>(COSTS, limit, maxBytes, nowMs).map(({ row }) => row);
  }

  #next<T extends Open>(
    { retries, freshes, originals }: typeof COSTS,
    limit: number,
    maxBytes: number,
    nowMs: number,
  ): Next<T>[] {
    const open: Next<T>[] = [];
    const pay = this.#purse.payer();
    let bytes = 0;
    let full = limit <= 0;
    const add = (rows: Iterable<T>): void => {
      for (const row of rows) {
        bytes += row.bytes;
        full = bytes > maxBytes && open.length > 0;
        const reserve = full ? undefined : pay?.(row);
        full ||= reserve === null;
        if (full) return;
        open.push({ row, reserve: reserve ?? undefined });
      }
    };
    if (full) return open;
    add(this.#sql.exec<T>(retries, nowMs, limit));
    if (full || open.length === limit) return open;
    const fresh = this.#hasTwins() ? originals : freshes;
    add(this.#sql.exec<T>(fresh, this.#fresh(), limit - open.length));
    return open;
  }

  /**
   * Tasks at the head of either line (retries, and fresh ones) that the budget will never pay for,
   * whatever the calls in flight turn out to take. At most `limit` of each line are looked at.
   */
  unaffordable(limit: number): number[] {
    const isStopped = this.#purse.stopper();
    if (isStopped === undefined) return [];
    const retries = this.#sql.exec<Open>(
      `SELECT seq, ${NEED} FROM task WHERE state = 'pending' AND attempt > 0
       ORDER BY not_before, seq LIMIT ?`,
      limit,
    );
    const seqs = retries.toArray().flatMap((row) => (isStopped(row) ? [row.seq] : []));
    const fresh = this.#sql.exec<Open>(
      `SELECT seq, ${NEED} FROM task ${this.#hasTwins() ? ORIGINAL : "WHERE"}
         seq >= ? AND state = 'pending' AND attempt = 0
       ORDER BY seq LIMIT ?`,
      this.#fresh(),
      limit,
    );
    for (const row of fresh) {
      // Those before it were closed: the next look need not pass them again.
      if (seqs.length === 0) this.#firstFresh = row.seq;
      if (!isStopped(row)) break;
      seqs.push(row.seq);
    }
    return seqs;
  }

  /** How many tasks may be handed out now, counted up to `cap`. */
  ready(cap: number, nowMs: number): number {
    // Whatever moves a task makes a new row of counts; a budget is changed by a new row of the batch.
    const counts = this.#counts.get();
    const row = this.#rows.get();
    const known = this.#ready;
    const isOld = known?.counts !== counts || known.row !== row || known.nowMs !== nowMs;
    if (known === undefined || isOld || (known.ready === known.cap && known.cap < cap)) {
      this.#ready = { counts, row, nowMs, cap, ready: this.#countReady(cap, nowMs) };
    }
    return Math.min(cap, this.#ready?.ready ?? 0);
  }

  #countReady(cap: number, nowMs: number): number {
    const pay = this.#purse.payer();
    const line = { sql: this.#sql, from: this.#fresh(), hasTwins: this.#hasTwins() };
    if (pay !== undefined) return countPaid(line, pay, cap, nowMs);
    const { total, budget_stopped } = this.#counts.get();
    // Until a task was stopped, or all that had ended were opened again, fresh tasks are the end of
    // the input, as long as the batch hands out tasks at all.
    const isEnd = !line.hasTwins && budget_stopped === 0 && this.#rows.get()?.run === 1;
    const fresh = isEnd ? Math.max(0, total - line.from) : countFresh(line, cap);
    return fresh >= cap ? cap : fresh + countDue(line, cap - fresh, nowMs);
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

  /**
   * pending → running. Claims the next tasks for a holder; see {@link next}.
   *
   * @param tokensOf what a call has reserved of its quota: its `cost` from now on.
   * @param upstream where its call goes, by name.
   */
  claim(
    limit: number,
    holder: string,
    maxBytes: number,
    nowMs: number,
    tokensOf: (row: NeedRow) => number = ({ cost }) => cost,
    upstream: string | null = null,
  ): Claimed[] {
    const open = this.#next<Open & { body: string }>(BODIES, limit, maxBytes, nowMs);
    if (open.length === 0) return [];
    const moved = this.#sql.exec<{ seq: number; attempt: number }>(
      `UPDATE task SET state = 'running', attempt = attempt + 1, holder = ?, claimed_at = ?,
         upstream = ?, reserved_tokens = 0, reserved_cost = 0, cost = next.value ->> 1
       FROM json_each(?) AS next
       WHERE task.seq = next.value ->> 0 AND state = 'pending' RETURNING seq, attempt`,
      holder,
      nowMs,
      upstream,
      JSON.stringify(open.map(({ row }) => [row.seq, tokensOf(row)])),
    );
    const attempts = new Map<number, number>();
    for (const { seq, attempt } of moved) attempts.set(seq, attempt);
    const claimed: Claimed[] = [];
    for (const { row, reserve } of open) {
      const { seq, body } = row;
      const attempt = attempts.get(seq);
      if (attempt === undefined) continue;
      if (reserve !== undefined) this.#purse.reserve(seq, reserve);
      if (attempt === 1) this.#firstFresh = seq + 1;
      claimed.push({ seq, attempt, body });
    }
    this.#counts.add({ pending: -claimed.length, running: claimed.length });
    return claimed;
  }

  /**
   * running → pending, for the claims of a holder that is gone, or that never heard of them: all
   * but those in `keep`.
   *
   * @returns how many went back.
   */
  requeue(holder: string, keep: readonly Claim[], nowMs: number): number {
    const kept = JSON.stringify(keep.map(({ seq, attempt }) => `${seq}:${attempt}`));
    const theirs = `holder = ? AND state = 'running'
      AND seq || ':' || attempt NOT IN (SELECT value FROM json_each(?))`;
    this.#sql.exec(
      `INSERT OR IGNORE INTO attempt (seq, attempt, started_at, ended_at, verdict, error, upstream)
       SELECT seq, attempt, claimed_at, ?, 'lost', ?, upstream FROM task WHERE ${theirs}`,
      nowMs,
      "The consumer that had this task was not heard again; whether it called is not known.",
      holder,
      kept,
    );
    const moved = this.#sql
      .exec<Reserved>(
        `UPDATE task SET state = 'pending', holder = NULL, not_before = ? WHERE ${theirs}
         RETURNING ${RESERVED}`,
        nowMs,
        holder,
        kept,
      )
      .toArray();
    const count = moved.length;
    if (count > 0) this.#counts.add({ ...released(moved), running: -count, pending: count });
    return count;
  }

  /** Forgets what was derived: after a transaction that was undone. */
  reset(): void {
    this.#firstFresh = undefined;
    this.#runningBy = undefined;
    this.#ready = undefined;
  }

  /** failed | cancelled | expired → pending, with all their attempts anew; outcomes go. */
  rerun(nowMs: number): number {
    keepLastAttempts(this.#sql);
    // Never the last place, which is the end's: places only grow.
    this.#sql.exec("DELETE FROM recorded WHERE seq IN (SELECT seq FROM outcome WHERE ok = 0)");
    this.#sql.exec("DELETE FROM outcome WHERE ok = 0");
    const moved = this.#sql
      .exec<{ is_twin: number }>(
        `UPDATE task SET state = 'pending', failures = 0, throttles = 0, throttles_alone = 0,
           throttled_at_success = -1, not_before = ?
         WHERE state IN ('failed', 'cancelled', 'expired') RETURNING twin_of IS NOT NULL AS is_twin`,
        nowMs,
      )
      .toArray();
    this.#firstFresh = undefined;
    const { failed, cancelled, expired, error_bytes, unauthorized, budget_stopped } =
      this.#counts.get();
    this.#counts.add({
      pending: failed + cancelled + expired,
      failed: -failed,
      cancelled: -cancelled,
      expired: -expired,
      error_bytes: -error_bytes,
      unauthorized: -unauthorized,
      budget_stopped: -budget_stopped,
      twins_pending: moved.filter(({ is_twin }) => is_twin === 1).length,
    });
    return moved.length;
  }

  /** Calls in flight by the upstream they went to; null for those claimed before it was kept. */
  runningBy(): ReadonlyMap<string | null, number> {
    const counts = this.#counts.get();
    // Whatever moves a task makes a new row of counts.
    if (this.#runningBy?.counts !== counts) {
      const rows = this.#sql.exec<{ upstream: string | null; running: number }>(
        `SELECT upstream, count(*) AS running FROM task INDEXED BY task_held
         WHERE state = 'running' GROUP BY upstream`,
      );
      const by = new Map([...rows].map(({ upstream, running }) => [upstream, running]));
      this.#runningBy = { counts, by };
    }
    return this.#runningBy.by;
  }

  #hasTwins(): boolean {
    return this.#counts.get().twins > 0;
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
          `SELECT min(seq) AS seq FROM task ${this.#hasTwins() ? ORIGINAL : "WHERE"}
             state = 'pending' AND attempt = 0`,
        )
        .one().seq ?? Number.MAX_SAFE_INTEGER;
    return this.#firstFresh;
  }
}
