import type { Sql } from "../core/sql.ts";

/** What was deleted is known as a list's cursor for so long. */
const REMEMBERED_MS = 24 * 3_600_000;

/** The column of each table that lists go by. */
const IDS = { batch: "batch_id", file: "id", endpoint: "id" } as const;

/** The places of what is taken out: who deletes what a list gives goes on behind it. */
export class Deleted {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Keeps the place of rows that are about to be taken out: those with an id, or of a batch. */
  remember(table: keyof typeof IDS, column: "id" | "batch_id", value: string, nowMs: number): void {
    this.#sql.exec("DELETE FROM deleted WHERE deleted_at < ?", nowMs - REMEMBERED_MS);
    this.#sql.exec(
      `INSERT OR REPLACE INTO deleted (id, created_at, deleted_at)
       SELECT ${IDS[table]}, created_at, ? FROM ${table} WHERE ${column} = ?`,
      nowMs,
      value,
    );
  }

  /** Whether something of that id was deleted a short while ago. */
  has(id: string): boolean {
    return this.#sql.exec("SELECT 1 FROM deleted WHERE id = ?", id).toArray().length > 0;
  }
}
