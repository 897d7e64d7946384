import type { Cursor, Sql, SqlValue } from "../../core/sql.ts";
import type { Digest } from "../../project/digest.ts";
import type { BatchError, BatchStatus } from "../../wire/batch.ts";
import type { BatchRow, Ending } from "../schema.ts";

/** What is known of a batch when it is opened. */
export type NewBatch = Pick<
  BatchRow,
  | "project"
  | "batch_id"
  | "upstream"
  | "endpoint"
  | "input_file_id"
  | "completion_window"
  | "metadata"
  | "max_concurrency"
  | "priority"
  | "output_expires_after_s"
  | "max_tokens_total"
  | "max_cost"
  | "dedupe"
  | "pool"
  | "webhook_url"
  | "webhook_secret"
  | "on_unknown"
  | "input_sha256"
  | "call_headers"
  | "announced"
  | "source_key"
  | "created_at"
  | "expires_at"
>;

/** The statuses a batch can end in once it was in progress. */
export type EndStatus = "completed" | "expired" | "cancelled";

/**
 * The batch's own row: status, ending, timestamps, and how far its file has been read. It is read
 * many times an exchange and seldom changed, so it is kept in memory; whatever writes it goes
 * through `#write`, which forgets what is kept.
 */
export class BatchRows {
  readonly #db: Sql;
  #kept: Readonly<BatchRow> | undefined;

  constructor(sql: Sql) {
    this.#db = sql;
  }

  /** The row, or undefined when this object's batch was never opened. */
  get(): Readonly<BatchRow> | undefined {
    this.#kept ??= this.#db.exec<BatchRow>("SELECT * FROM batch").toArray()[0];
    return this.#kept;
  }

  /** Forgets what is kept: after a transaction that was undone. */
  forget(): void {
    this.#kept = undefined;
  }

  /** Opens the batch, in `validating`. False when it was open already: nothing changes then. */
  insert(row: NewBatch): boolean {
    const opened = this.#moved(
      `INSERT OR IGNORE INTO batch (id, project, batch_id, upstream, endpoint, input_file_id,
         completion_window, metadata, max_concurrency, priority, output_expires_after_s,
         max_tokens_total, max_cost, dedupe, pool, webhook_url, webhook_secret, on_unknown,
         input_sha256, call_headers, announced, source_key, created_at, expires_at, status)
       VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'validating')
       RETURNING id`,
      row.project,
      row.batch_id,
      row.upstream,
      row.endpoint,
      row.input_file_id,
      row.completion_window,
      row.metadata,
      row.max_concurrency,
      row.priority,
      row.output_expires_after_s,
      row.max_tokens_total,
      row.max_cost,
      row.dedupe,
      row.pool,
      row.webhook_url,
      row.webhook_secret,
      row.on_unknown,
      row.input_sha256,
      row.call_headers,
      row.announced,
      row.source_key,
      row.created_at,
      row.expires_at,
    );
    if (!opened) return false;
    this.#db.exec("INSERT INTO progress (id) VALUES (1)");
    return true;
  }

  /**
   * All tasks are there and good, with the model they share, if they do: validating → in_progress.
   * One that is cancelling stays so, and ends from here on.
   */
  begin(model: string | null, nowMs: number): boolean {
    return this.#moved(
      `UPDATE batch SET source_read = 1, model = ?2,
         in_progress_at = iif(status = 'validating', ?1, in_progress_at),
         status = iif(status = 'validating', 'in_progress', status)
       WHERE status IN ('validating', 'cancelling') AND source_read = 0 RETURNING id`,
      nowMs,
      model,
    );
  }

  /** validating | cancelling → failed, with what was wrong, while the file is read. */
  fail(errors: BatchError[], nowMs: number): boolean {
    return this.#moved(
      `UPDATE batch SET status = 'failed', failed_at = ?, errors = ?
       WHERE status IN ('validating', 'cancelling') AND source_read = 0 RETURNING id`,
      nowMs,
      JSON.stringify(errors),
    );
  }

  /** validating | in_progress → cancelling: nothing more is handed out. A file is read on. */
  cancel(nowMs: number): boolean {
    return this.#moved(
      `UPDATE batch SET status = 'cancelling', cancelling_at = ?, ending = 'cancelled',
         paused_at = NULL
       WHERE status IN ('validating', 'in_progress') RETURNING id`,
      nowMs,
    );
  }

  /** Stops handing out tasks because the window is over or all are done; status stays. */
  stop(ending: Ending): boolean {
    return this.#moved(
      `UPDATE batch SET ending = ?, paused_at = NULL
       WHERE ending IS NULL AND status = 'in_progress' RETURNING id`,
      ending,
    );
  }

  /** in_progress → finalizing, once no task is open. */
  finalize(nowMs: number): boolean {
    return this.#moved(
      `UPDATE batch SET status = 'finalizing', finalizing_at = ?
       WHERE status = 'in_progress' AND ending IS NOT NULL RETURNING id`,
      nowMs,
    );
  }

  /** finalizing → completed | expired, cancelling → cancelled, with the hash of its outcomes. */
  end(status: EndStatus, outcomesSha256: string, nowMs: number): boolean {
    const from: BatchStatus = status === "cancelled" ? "cancelling" : "finalizing";
    return this.#moved(
      `UPDATE batch SET status = ?1, outcomes_sha256 = ?4,
         completed_at = iif(?1 = 'completed', ?2, completed_at),
         expired_at = iif(?1 = 'expired', ?2, expired_at),
         cancelled_at = iif(?1 = 'cancelled', ?2, cancelled_at)
       WHERE status = ?3 RETURNING id`,
      status,
      nowMs,
      from,
      outcomesSha256,
    );
  }

  /**
   * completed | expired | cancelled → in_progress, for another run of what did not succeed. One that
   * an earlier Muster cancelled while its file was read → validating: the rest of it is read first.
   */
  reopen(nowMs: number, expiresAtMs: number): boolean {
    return this.#moved(
      `UPDATE batch SET status = iif(source_read, 'in_progress', 'validating'), ending = NULL,
         run = run + 1, paused_at = NULL, in_progress_at = iif(source_read, ?, NULL),
         expires_at = ?, finalizing_at = NULL, completed_at = NULL, expired_at = NULL,
         cancelling_at = NULL, cancelled_at = NULL, outcomes_sha256 = NULL, told_status = NULL
       WHERE status IN ('completed', 'expired', 'cancelled') AND removed_at IS NULL RETURNING id`,
      nowMs,
      expiresAtMs,
    );
  }

  /** Notes that the outcomes of a file are deleted. */
  erased(kind: "output" | "error", nowMs: number): void {
    this.#write(`UPDATE batch SET ${kind}_erased_at = coalesce(${kind}_erased_at, ?)`, nowMs);
  }

  /** The client has no more use for it. False when it has not ended, or was removed already. */
  remove(nowMs: number): boolean {
    return this.#moved(
      `UPDATE batch SET removed_at = ? WHERE removed_at IS NULL
         AND status IN ('completed', 'failed', 'expired', 'cancelled') RETURNING id`,
      nowMs,
    );
  }

  /** Nothing is handed out until it is resumed. False when it is paused, or has ended. */
  pause(nowMs: number): boolean {
    return this.#moved(
      `UPDATE batch SET paused_at = ? WHERE paused_at IS NULL AND ending IS NULL
         AND status IN ('validating', 'in_progress') RETURNING id`,
      nowMs,
    );
  }

  /** Goes on. False when it was not paused. */
  resume(): boolean {
    return this.#moved(
      "UPDATE batch SET paused_at = NULL WHERE paused_at IS NOT NULL RETURNING id",
    );
  }

  /** Replaces what a client may change while the batch runs. False when it has ended. */
  setLimits(maxConcurrency: number | null, priority: number, pool: 0 | 1 | null): boolean {
    return this.#moved(
      `UPDATE batch SET max_concurrency = ?, priority = ?, pool = ?
       WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling') RETURNING id`,
      maxConcurrency,
      priority,
      pool,
    );
  }

  /** Sets the budget: tokens, and nano-dollars; null is no limit. */
  setBudget(maxTokensTotal: number | null, maxCost: number | null): void {
    this.#write("UPDATE batch SET max_tokens_total = ?, max_cost = ?", maxTokensTotal, maxCost);
  }

  /** Replaces the metadata, JSON or null. */
  setMetadata(metadata: string | null): void {
    // The project is to hear of it.
    this.#write("UPDATE batch SET metadata = ?, told_status = NULL", metadata);
  }

  /** Keeps what the project was last told, and when. A change may have come meanwhile. */
  told(digest: Digest): void {
    this.#write(
      `UPDATE batch SET told_status = iif(metadata IS ?1 AND status = ?2, ?2, NULL),
         told_running = ?3, told_at = ?4`,
      digest.metadata,
      digest.status,
      digest.running,
      digest.noted_at,
    );
  }

  /** How far the input file has been read. */
  setSource(offset: number, line: number): void {
    this.#write("UPDATE batch SET source_offset = ?, source_line = ?", offset, line);
  }

  /** Keeps the model of the first task while the file is read; '' once two differ. */
  setModel(model: string): void {
    this.#write("UPDATE batch SET model = ?", model);
  }

  /** Keeps validation errors found so far. */
  setErrors(errors: BatchError[]): void {
    this.#write("UPDATE batch SET errors = ?", JSON.stringify(errors));
  }

  #moved(statement: string, ...bindings: SqlValue[]): boolean {
    return this.#write(statement, ...bindings).toArray().length > 0;
  }

  #write(statement: string, ...bindings: SqlValue[]): Cursor<Record<string, SqlValue>> {
    this.forget();
    return this.#db.exec(statement, ...bindings);
  }
}
