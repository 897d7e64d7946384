import type { Sql } from "../../core/sql.ts";
import type { TaskState } from "../../core/task.ts";
import type { Progress, ProgressChange } from "./progress.ts";

/** Twins that get their outcome in one transaction, and about how many bytes of lines. */
const SETTLE_AT_ONCE = 1_000;
const SETTLE_BYTES = 4 * 1024 * 1024;
/** Twins that get it in the very transaction that records their original's. */
const SETTLE_WITH_ORIGINAL = 20;

/** What comes after the ids in an output line. No `"` stands unescaped in a custom_id's text. */
const TAIL = `substr(line, instr(line, ',"response":'))`;

type Original = { state: TaskState; bytes: number; stopped: boolean };

/**
 * Tasks whose body an earlier task of the batch has: its twins. They are never handed out (their
 * attempt is -1, where a fresh task's is 0), and end as their original ends, with its answer. An
 * original that has ended and has open twins is in `settling`, from the transaction that ends it to
 * the one that ends the last of them.
 */
export class Twins {
  readonly #sql: Sql;
  readonly #counts: Progress;

  constructor(sql: Sql, counts: Progress) {
    this.#sql = sql;
    this.#counts = counts;
  }

  /** Whether there are twins whose original has ended and theirs is to be written yet. */
  owed(): boolean {
    if (this.#counts.get().twins_pending === 0) return false;
    return this.#sql.exec("SELECT 1 FROM settling LIMIT 1").toArray().length > 0;
  }

  /** Notes that originals have ended, in the transaction that ends them. */
  ended(seqs: readonly number[]): void {
    if (this.#counts.get().twins_pending === 0) return;
    this.#sql.exec(
      `INSERT OR IGNORE INTO settling (seq) SELECT value FROM json_each(?) AS original
       WHERE EXISTS (SELECT 1 FROM task WHERE twin_of = original.value AND state = 'pending')`,
      JSON.stringify(seqs),
    );
  }

  /** Notes that one has ended, and ends its twins if they are few. */
  endedOne(seq: number, lineStem: string, nowMs: number): void {
    if (this.#counts.get().twins_pending === 0) return;
    this.ended([seq]);
    this.#settle(seq, SETTLE_WITH_ORIGINAL, lineStem, nowMs);
  }

  /** Ends some of the twins that are owed their end. Run it inside a transaction, until none is. */
  settleSome(lineStem: string, nowMs: number): void {
    let left = SETTLE_AT_ONCE;
    while (left > 0) {
      const [next] = this.#sql
        .exec<{ seq: number }>("SELECT seq FROM settling ORDER BY seq LIMIT 1")
        .toArray();
      if (next === undefined) return;
      left -= Math.max(1, this.#settle(next.seq, left, lineStem, nowMs));
    }
  }

  /** @returns how many were ended. */
  #settle(seq: number, limit: number, lineStem: string, nowMs: number): number {
    const [row] = this.#sql
      .exec<{ state: TaskState; bytes: number; refusal: string | null }>(
        `SELECT state, octet_length(line) AS bytes, iif(ok, NULL, line) AS refusal
         FROM task JOIN outcome USING (seq) WHERE seq = ?`,
        seq,
      )
      .toArray();
    if (row === undefined) throw new Error(`task ${seq} has twins to end and no outcome`);
    const { state, bytes, refusal } = row;
    const original = { state, bytes, stopped: refusal !== null && isStopped(refusal) };
    const most = Math.max(1, Math.min(limit, Math.floor(SETTLE_BYTES / bytes)));
    const twins = this.#sql
      .exec<{ seq: number }>(
        "SELECT seq FROM task WHERE twin_of = ? AND state = 'pending' ORDER BY seq LIMIT ?",
        seq,
        most,
      )
      .toArray();
    if (twins.length < most) this.#sql.exec("DELETE FROM settling WHERE seq = ?", seq);
    if (twins.length === 0) return 0;
    this.#end(seq, original, JSON.stringify(twins.map((twin) => twin.seq)), lineStem, nowMs);
    return twins.length;
  }

  #end(
    seq: number,
    { state, stopped }: Original,
    twins: string,
    stem: string,
    nowMs: number,
  ): void {
    const lines = this.#sql
      .exec<{ ok: number; bytes: number }>(
        `INSERT INTO outcome (seq, ok, retry, recorded_at, line)
         SELECT twin.seq, original.ok, original.retry, ?, '{"id":"' || ? || twin.seq ||
           '","custom_id":' || json_quote(twin.custom_id) || original.tail
         FROM task AS twin, (SELECT ok, retry, ${TAIL} AS tail FROM outcome WHERE seq = ?) AS original
         WHERE twin.seq IN (SELECT value FROM json_each(?))
         RETURNING ok, octet_length(line) + 1 AS bytes`,
        nowMs,
        stem,
        seq,
        twins,
      )
      .toArray();
    this.#sql.exec(
      "UPDATE task SET state = ? WHERE seq IN (SELECT value FROM json_each(?))",
      state,
      twins,
    );
    const count = lines.length;
    const change: ProgressChange = { pending: -count, twins_pending: -count };
    change[state] = count;
    const bytes = lines.reduce((sum, line) => sum + line.bytes, 0);
    change[lines[0]?.ok === 1 ? "output_bytes" : "error_bytes"] = bytes;
    if (stopped) change.budget_stopped = count;
    this.#counts.add(change);
  }
}

/** Not by SQLite, whose JSON functions take no more than a thousand levels: this may be an answer. */
function isStopped(line: string): boolean {
  const { error } = JSON.parse(line) as { error: { code: string } | null };
  return error?.code === "budget_stopped";
}
