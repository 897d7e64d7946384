import type { Sql } from "../../core/sql.ts";

/**
 * The consumer conversations that are under way, each with when it was last heard. Kept in memory
 * for the questions of every exchange, and in the table for the sweep and for whoever comes after.
 */
export class Holders {
  readonly #sql: Sql;
  #kept: Map<string, number> | undefined;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Notes that a conversation spoke. True when it is a new one. */
  seen(id: string, nowMs: number): boolean {
    const before = this.#seenAtMs().get(id);
    if (before === nowMs) return false;
    if (before === undefined) {
      this.#sql.exec("INSERT INTO holder (id, seen_at) VALUES (?, ?)", id, nowMs);
    } else {
      this.#sql.exec("UPDATE holder SET seen_at = ? WHERE id = ?", nowMs, id);
    }
    this.#seenAtMs().set(id, nowMs);
    return before === undefined;
  }

  /** A conversation is over. */
  remove(id: string): void {
    if (this.#seenAtMs().delete(id)) this.#sql.exec("DELETE FROM holder WHERE id = ?", id);
  }

  /** How many there are besides these. */
  count(besides: ReadonlySet<string> = new Set()): number {
    let count = 0;
    for (const id of this.#seenAtMs().keys()) if (!besides.has(id)) count += 1;
    return count;
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
    let oldestMs: number | undefined;
    for (const seenMs of this.#seenAtMs().values()) {
      if (oldestMs === undefined || seenMs < oldestMs) oldestMs = seenMs;
    }
    return oldestMs;
  }

  /** Forgets what is kept: after a transaction that was undone. */
  forget(): void {
    this.#kept = undefined;
  }

  #seenAtMs(): Map<string, number> {
    this.#kept ??= new Map(
      this.#sql
        .exec<{ id: string; seen_at: number }>("SELECT id, seen_at FROM holder")
        .toArray()
        .map(({ id, seen_at }) => [id, seen_at]),
    );
    return this.#kept;
  }
}
