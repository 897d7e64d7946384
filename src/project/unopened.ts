import type { Sql } from "../core/sql.ts";

/**
 * Batches in the index that have not told of themselves yet. A batch is put into the index before it
 * is opened, so one whose opening failed stays behind; sooner or later it is given up.
 */
export class Unopened {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Keeps the name of the project, which the names of its batches' objects are made with. */
  introduce(project: string): void {
    this.#sql.exec("INSERT OR IGNORE INTO self (id, project) VALUES (1, ?)", project);
  }

  /** The name of the project, once it had a batch. */
  project(): string | undefined {
    return this.#sql.exec<{ project: string }>("SELECT project FROM self").toArray()[0]?.project;
  }

  /** A batch was asked for again, and is about to be opened: its time begins anew. */
  asked(batchId: string, nowMs: number): void {
    this.#sql.exec(
      "UPDATE batch SET asked_at = ? WHERE batch_id = ? AND asked_at IS NOT NULL",
      nowMs,
      batchId,
    );
  }

  /** A batch is open. That holds for good. */
  opened(batchId: string): void {
    this.#sql.exec(
      "UPDATE batch SET asked_at = NULL WHERE batch_id = ? AND asked_at IS NOT NULL",
      batchId,
    );
  }

  /** Batches that were last asked for at a time or before it, and have told nothing since. */
  due(askedMs: number, limit: number): string[] {
    return this.#sql
      .exec<{ batch_id: string }>(
        "SELECT batch_id FROM batch WHERE asked_at <= ? ORDER BY asked_at LIMIT ?",
        askedMs,
        limit,
      )
      .toArray()
      .map(({ batch_id }) => batch_id);
  }

  /** Whether a batch is one of {@link due}. */
  isDue(batchId: string, askedMs: number): boolean {
    return (
      this.#sql
        .exec("SELECT 1 FROM batch WHERE batch_id = ? AND asked_at <= ?", batchId, askedMs)
        .toArray().length > 0
    );
  }

  /** When the one that waits longest was last asked for. */
  oldestMs(): number | undefined {
    return (
      this.#sql.exec<{ oldest: number | null }>("SELECT min(asked_at) AS oldest FROM batch").one()
        .oldest ?? undefined
    );
  }
}
