import type { Sql } from "../core/sql.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import { firstBatchId } from "../wire/ids.ts";
import type { Quotas } from "../wire/quota.ts";

/** What is about to be made. */
export interface Addition {
  batches?: number;
  tasks?: number;
  bytes?: number;
  /** Whether so many bytes are a guess, which is not worth telling. */
  isGuess?: boolean;
}

/** Those that a batch that has not ended can have. */
const OPEN = "('validating', 'in_progress', 'finalizing', 'cancelling')";
/** A batch that has not told of itself by then was never opened. */
const OPENING_MS = 10 * 60_000;

/**
 * What a project uses, against its quotas. Of batches that run it is what they last told, at most
 * five seconds ago; of one that has told nothing yet it is what it was asked for with.
 */
export class QuotaBook {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Whether there is room for an addition. Only quotas that there are cost a look. */
  check(more: Addition, quotas: Quotas, nowMs: number): Result<null> {
    const { batches = 0, tasks = 0, bytes = 0, isGuess = false } = more;
    const { openBatches, waitingTasks, storedBytes } = quotas;
    if (openBatches !== null && batches > 0) {
      const used = this.openBatches(nowMs);
      if (used + batches > openBatches) {
        return exceeded(
          "open_batches",
          `This project may have ${openBatches} open batches, and has ${used}.`,
          "Wait until one has ended, or cancel one.",
        );
      }
    }
    if (waitingTasks !== null && batches > 0) {
      const used = this.waitingTasks(nowMs);
      // One more than there is room for; and none when there is no room at all.
      if (used + Math.max(tasks, 1) > waitingTasks) {
        return exceeded(
          "waiting_tasks",
          `This project may have ${waitingTasks} tasks waiting, has ${used}, and this would add ${tasks}.`,
          "Wait until some are done, or send fewer at once.",
        );
      }
    }
    if (storedBytes !== null && (bytes > 0 || batches > 0)) {
      const used = this.storedBytes(nowMs);
      // A batch's results take room, too, though nobody knows yet how much.
      if (used + Math.max(bytes, 1) > storedBytes) {
        const known = isGuess ? ", and this is more than is left" : `, and this would add ${bytes}`;
        const adds = bytes > 0 ? known : "";
        return exceeded(
          "stored_bytes",
          `This project may store ${storedBytes} bytes of files, tasks and results, has ${used}${adds}.`,
          "Delete files, or results with DELETE /v1/files/{id}, or wait until they expire.",
        );
      }
    }
    return ok(null);
  }

  /** Batches that have not ended. */
  openBatches(nowMs: number): number {
    return this.#number(
      `SELECT (SELECT count(*) FROM digest WHERE status IN ${OPEN}) + (
         SELECT count(*) FROM batch LEFT JOIN digest USING (batch_id)
         WHERE batch.batch_id >= ? AND digest.status IS NULL) AS n`,
      firstBatchId(nowMs - OPENING_MS),
    );
  }

  /** Tasks without a call or an outcome. */
  waitingTasks(nowMs: number): number {
    return this.#number(
      `SELECT coalesce((SELECT sum(iif(digest.status = 'validating', max(pending, tasks), pending))
           FROM digest JOIN batch USING (batch_id) WHERE digest.status IN ${OPEN}), 0)
         + coalesce((SELECT sum(tasks) FROM batch LEFT JOIN digest USING (batch_id)
           WHERE batch.batch_id >= ? AND digest.status IS NULL), 0) AS n`,
      firstBatchId(nowMs - OPENING_MS),
    );
  }

  /**
   * Bytes of uploaded files, of uploads under way as they were announced or of their parts if those
   * are more, of tasks that batches were opened with, and of results.
   */
  storedBytes(nowMs: number): number {
    return this.#number(
      `SELECT coalesce((SELECT sum(bytes) FROM file
           WHERE r2_key IS NOT NULL AND (expires_at IS NULL OR expires_at > ?1)), 0)
         + coalesce((SELECT sum(max(bytes, coalesce((SELECT sum(part.bytes) FROM part
             WHERE part.upload_id = upload.id), 0)))
           FROM upload WHERE status = 'pending' AND expires_at > ?1), 0)
         + coalesce((SELECT sum(bytes) FROM batch), 0)
         + coalesce((SELECT sum(bytes) FROM digest), 0) AS n`,
      nowMs,
    );
  }

  #number(query: string, binding: string | number): number {
    return this.#sql.exec<{ n: number }>(query, binding).one().n;
  }
}

function exceeded(quota: string, used: string, todo: string): Result<never> {
  return refuse("quota_exceeded", `${used} ${todo}`, undefined, `${quota}_quota_exceeded`);
}
