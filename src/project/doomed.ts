import type { Sql } from "../core/sql.ts";

/**
 * R2 objects that are to be deleted at a time, unless a row comes to own them first. A key stands
 * here before its bytes are written, and when its row goes: so nothing is left in R2 that nobody
 * knows of, wherever a crash falls.
 */
export class Doomed {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Sets when a key is deleted, in place of the time that was set. */
  add(key: string, dueMs: number): void {
    this.#sql.exec("INSERT OR REPLACE INTO doomed (r2_key, due_at) VALUES (?, ?)", key, dueMs);
  }

  /** The key is owned, or deleted. */
  spare(key: string): void {
    this.#sql.exec("DELETE FROM doomed WHERE r2_key = ?", key);
  }

  /** Keys whose time has come. */
  due(nowMs: number, limit: number): string[] {
    return this.#sql
      .exec<{ r2_key: string }>(
        "SELECT r2_key FROM doomed WHERE due_at <= ? ORDER BY due_at LIMIT ?",
        nowMs,
        limit,
      )
      .toArray()
      .map(({ r2_key }) => r2_key);
  }

  /** When the next one's time comes. */
  nextMs(): number | undefined {
    return (
      this.#sql.exec<{ next: number | null }>("SELECT min(due_at) AS next FROM doomed").one()
        .next ?? undefined
    );
  }
}
