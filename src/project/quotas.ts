import type { Sql } from "../core/sql.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import { firstBatchId } from "../wire/ids.ts";
import type { Quotas } from "../wire/quota.ts";
import { byteLength } from "../wire/request.ts";
import type { BatchSize } from "./store.ts";

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
/** What a file takes beside its bytes and its name: its row and its object's. */
const FILE_ROW_BYTES = 200;

/** A file's bytes as they count, in SQL. */
const FILE_BYTES = `octet_length(filename) + ${FILE_ROW_BYTES} + bytes`;

/** Files whose bytes are stored, in SQL; `?1` is now. */
const STORED_FILE = "r2_key IS NOT NULL AND (expires_at IS NULL OR expires_at > ?1)";

/** Batches with their tasks, in SQL: all but those whose file was not good, which keep none. */
const WITH_TASKS = "batch LEFT JOIN digest USING (batch_id) WHERE digest.status IS NOT 'failed'";

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
          `This project may store ${storedBytes} bytes of files, tasks, results and kept answers, has ${used}${adds}.`,
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
   * are more, of tasks that batches were opened with, of results, and of answers that are kept for
   * an `Idempotency-Key`. A file and the first batch with its lines count once, as long as both are
   * there; other batches with them count each.
   */
  storedBytes(nowMs: number): number {
    return this.#number(
      `SELECT coalesce((SELECT sum(${FILE_BYTES}) FROM file WHERE ${STORED_FILE}), 0)
         + coalesce((SELECT sum(max(0, coalesce((SELECT sum(part.bytes) FROM part
             WHERE part.upload_id = upload.id), 0) - bytes) + ${FILE_BYTES})
           FROM upload WHERE status = 'pending' AND expires_at > ?1), 0)
         + coalesce((SELECT sum(batch.bytes) FROM ${WITH_TASKS}), 0)
         - coalesce((SELECT sum(bytes) FROM file WHERE ${STORED_FILE}
             AND id IN (SELECT input_file_id FROM ${WITH_TASKS})), 0)
         + coalesce((SELECT sum(bytes) FROM digest), 0)
         + coalesce((SELECT sum(octet_length(body)) FROM idempotency WHERE expires_at > ?1), 0) AS n`,
      nowMs,
    );
  }

  /** What a batch adds to {@link storedBytes}: nothing if it is the first of a file that is there. */
  bytesOfBatch({ bytes, inputFileId }: BatchSize, nowMs: number): number {
    if (inputFileId === undefined) return bytes;
    const isFirst = this.#sql
      .exec(
        `SELECT 1 FROM file WHERE ${STORED_FILE} AND id = ?2
           AND id NOT IN (SELECT input_file_id FROM ${WITH_TASKS} AND input_file_id IS NOT NULL)`,
        nowMs,
        inputFileId,
      )
      .toArray();
    return isFirst.length > 0 ? 0 : bytes;
  }

  #number(query: string, binding: string | number): number {
    return this.#sql.exec<{ n: number }>(query, binding).one().n;
  }
}

/** What a file, or an upload of one, counts as. */
export function bytesOfFile(file: { bytes: number; filename: string }): number {
  return file.bytes + byteLength(file.filename) + FILE_ROW_BYTES;
}

function exceeded(quota: string, used: string, todo: string): Result<never> {
  return refuse("quota_exceeded", `${used} ${todo}`, undefined, `${quota}_quota_exceeded`);
}
