import type { Sql } from "../../core/sql.ts";
/** The consumer conversations that are under way, each with when it was last heard. */
export class Holders {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Notes that a conversation spoke. True when it is a new one. */
  seen(id: string, nowMs: number): boolean {
    const { was } = this.#sql
      .exec<{ was: number }>("SELECT count(*) AS was FROM holder WHERE id = ?", id)
      .one();
    this.#sql.exec("INSERT OR REPLACE INTO holder (id, seen_at) VALUES (?, ?)", id, nowMs);
    return was === 0;
  }

  /** A conversation is over. */
  remove(id: string): void {
    this.#sql.exec("DELETE FROM holder WHERE id = ?", id);
  }

  /** How many there are. */
  count(): number {
    return this.#sql.exec<{ n: number }>("SELECT count(*) AS n FROM holder").one().n;
  }

  /** Those last heard before a time; or after another, which is a mistake of a clock. */
  silent(beforeMs: number, afterMs: number): string[] {
    return this.#sql
      .exec<{ id: string }>(
        "SELECT id FROM holder WHERE seen_at < ? OR seen_at > ?",
        beforeMs,
        afterMs,
      )
      .toArray()
      .map(({ id }) => id);
  }

  /** When the longest-silent one was heard. */
  oldestSeenMs(): number | undefined {
    return (
      this.#sql.exec<{ seen: number | null }>("SELECT min(seen_at) AS seen FROM holder").one()
        .seen ?? undefined
    );
  }
}
