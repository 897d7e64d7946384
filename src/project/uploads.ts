import { quoted } from "../core/quoted.ts";
import type { Sql } from "../core/sql.ts";
import { noSuch, ok, type Result, refuse } from "../wire/errors.ts";
import {
  MAX_PART_BYTES,
  MAX_PARTS,
  type NewUpload,
  UPLOAD_TTL_MS,
  type UploadStatus,
} from "../wire/upload.ts";
import type { Doomed } from "./doomed.ts";
import type { FileRow, PartRow, UploadRow } from "./schema.ts";
import type { ProjectStore } from "./store.ts";

/** An upload's row is kept this long after its time, so that a late request is told what became of it. */
const KEPT_MS = 24 * 3_600_000;
/** A part outlives its upload by this: one that is being completed still reads it. */
const READING_MS = 15 * 60_000;

/** An upload as it stands, and the file it became. */
export interface UploadState {
  upload: UploadRow;
  status: UploadStatus;
  file: FileRow | null;
}

/** What is to be put together: the parts, in order. */
export interface Assembly {
  upload: UploadRow;
  keys: string[];
}

/**
 * Uploads in parts. A part is an R2 object of its own from its arrival to the upload's end; its key
 * is doomed from the beginning, so an upload that nobody ends leaves nothing.
 */
export class Uploads {
  readonly #sql: Sql;
  readonly #doomed: Doomed;
  readonly #files: ProjectStore;

  constructor(sql: Sql, doomed: Doomed, files: ProjectStore) {
    this.#sql = sql;
    this.#doomed = doomed;
    this.#files = files;
  }

  /** Begins an upload. The same id twice is one upload, the first. */
  create(id: string, asked: NewUpload, nowMs: number): UploadState {
    this.#forgetBefore(nowMs - KEPT_MS);
    this.#sql.exec(
      `INSERT OR IGNORE INTO upload (id, bytes, filename, expires_after_s, created_at, expires_at)
       VALUES (?, ?, ?, ?, ?, ?)`,
      id,
      asked.bytes,
      asked.filename,
      asked.expires_after?.seconds ?? null,
      nowMs,
      nowMs + UPLOAD_TTL_MS,
    );
    return this.#stateOf(this.#row(id), nowMs);
  }

  /** Whether there is an upload of an id. */
  has(id: string): boolean {
    return this.#row(id) !== undefined;
  }

  /**
   * Announces a part, before its bytes are written under a key.
   *
   * @returns bytes it may have: more than the file's cannot be of use.
   */
  expectPart(id: string, key: string, nowMs: number): Result<number> {
    const open = this.#open(id, nowMs);
    if (!open.ok) return open;
    const room = this.#takes(open.value, 0);
    if (!room.ok) return room;
    this.#doomed.add(key, open.value.expires_at + READING_MS);
    return ok(Math.min(open.value.bytes, MAX_PART_BYTES));
  }

  /**
   * Adds a part whose bytes are written. Parts that come at the same time are all expected before
   * any is there, so how much there is is looked at again.
   *
   * @param hasRoom for so many bytes beyond those that the upload was created for.
   * @returns the part of that id: one that was there stays.
   */
  addPart(
    id: string,
    part: Omit<PartRow, "upload_id">,
    nowMs: number,
    hasRoom: (bytes: number) => Result<null>,
  ): Result<PartRow> {
    const open = this.#open(id, nowMs);
    if (!open.ok) return open;
    const [before] = this.#sql
      .exec<PartRow>("SELECT * FROM part WHERE id = ? AND upload_id = ?", part.id, id)
      .toArray();
    if (before !== undefined) return ok(before);
    const taken = this.#takes(open.value, part.bytes);
    if (!taken.ok) return taken;
    const beyond = Math.min(part.bytes, taken.value + part.bytes - open.value.bytes);
    const room = beyond > 0 ? hasRoom(beyond) : ok(null);
    if (!room.ok) return room;
    this.#sql.exec(
      "INSERT OR IGNORE INTO part (id, upload_id, r2_key, bytes, created_at) VALUES (?, ?, ?, ?, ?)",
      part.id,
      id,
      part.r2_key,
      part.bytes,
      part.created_at,
    );
    return ok(this.#sql.exec<PartRow>("SELECT * FROM part WHERE id = ?", part.id).one());
  }

  /**
   * Whether an upload takes another part of so many bytes. @returns how many it has.
   *
   * A part whose answer was lost is sent again, so more than the file may come: as much again.
   */
  #takes({ id, bytes }: UploadRow, more: number): Result<number> {
    const has = this.#sql
      .exec<{ count: number; bytes: number }>(
        "SELECT count(*) AS count, coalesce(sum(bytes), 0) AS bytes FROM part WHERE upload_id = ?",
        id,
      )
      .one();
    if (has.count < 2 * MAX_PARTS && has.bytes + Math.max(more, 1) <= 2 * bytes) {
      return ok(has.bytes);
    }
    return refuse(
      "invalid_request",
      `This upload of ${bytes} bytes has ${has.count} parts of ${has.bytes} bytes already. Cancel it, or complete it with those that are right.`,
      "upload_id",
      "too_many_parts",
    );
  }

  /**
   * What to put together to complete an upload, and the key it is to be written under. Said again of
   * one that is completed, with the same parts: what it became.
   */
  assemble(
    id: string,
    partIds: string[],
    key: string,
    nowMs: number,
  ): Result<Assembly | UploadState> {
    const row = this.#row(id);
    if (row?.part_ids === JSON.stringify(partIds)) return ok(this.#stateOf(row, nowMs));
    const open = this.#open(id, nowMs);
    if (!open.ok) return open;
    const parts = new Map(
      this.#sql
        .exec<PartRow>("SELECT * FROM part WHERE upload_id = ?", id)
        .toArray()
        .map((part) => [part.id, part]),
    );
    const keys: string[] = [];
    let bytes = 0;
    for (const [index, partId] of partIds.entries()) {
      const part = parts.get(partId);
      const at = `part_ids[${index}]`;
      if (part === undefined) {
        return refuse("invalid_request", `${at}: this upload has no part '${quoted(partId)}'.`, at);
      }
      if (partIds.indexOf(partId) < index) {
        return refuse("invalid_request", `${at}: part '${quoted(partId)}' is named twice.`, at);
      }
      keys.push(part.r2_key);
      bytes += part.bytes;
    }
    if (bytes !== open.value.bytes) {
      return refuse(
        "invalid_request",
        `The parts have ${bytes} bytes together; the upload was created for ${open.value.bytes}.`,
        "part_ids",
        "bytes_mismatch",
      );
    }
    // Until the file's row owns it.
    this.#doomed.add(key, open.value.expires_at + READING_MS);
    return ok({ upload: open.value, keys });
  }

  /** pending → completed, with its file. Of two that complete it at once the first one counts. */
  complete(id: string, partIds: string[], file: FileRow, nowMs: number): Result<UploadState> {
    const before = this.#row(id);
    if (before?.part_ids === JSON.stringify(partIds)) {
      if (file.r2_key !== null) this.#doomed.add(file.r2_key, nowMs);
      return ok(this.#stateOf(before, nowMs));
    }
    // Its time may have run out while it was put together; it was asked for in time.
    if (before?.status !== "pending") {
      if (file.r2_key !== null) this.#doomed.add(file.r2_key, nowMs);
      return before === undefined ? noSuch("upload", id) : notOpen(before.status);
    }
    this.#files.addFile(file);
    if (file.r2_key !== null) this.#doomed.spare(file.r2_key);
    this.#sql.exec(
      "UPDATE upload SET status = 'completed', part_ids = ?, file_id = ? WHERE id = ?",
      JSON.stringify(partIds),
      file.id,
      id,
    );
    this.#dropParts(id, nowMs);
    return ok(this.#stateOf(this.#row(id), nowMs));
  }

  /** pending → cancelled. Twice is once. */
  cancel(id: string, nowMs: number): Result<UploadState> {
    const row = this.#row(id);
    if (row?.status === "cancelled") return ok(this.#stateOf(row, nowMs));
    const open = this.#open(id, nowMs);
    if (!open.ok) return open;
    this.#sql.exec("UPDATE upload SET status = 'cancelled' WHERE id = ?", id);
    this.#dropParts(id, nowMs);
    return ok(this.#stateOf(this.#row(id), nowMs));
  }

  #row(id: string): UploadRow | undefined {
    return this.#sql.exec<UploadRow>("SELECT * FROM upload WHERE id = ?", id).toArray()[0];
  }

  /** The row of an upload that still takes parts. */
  #open(id: string, nowMs: number): Result<UploadRow> {
    const row = this.#row(id);
    if (row === undefined) return noSuch("upload", id);
    const status = statusOf(row, nowMs);
    return status === "pending" ? ok(row) : notOpen(status);
  }

  #stateOf(row: UploadRow | undefined, nowMs: number): UploadState {
    if (row === undefined) throw new Error("an upload that was just written is not there");
    const file = row.file_id === null ? undefined : this.#files.file(row.file_id, nowMs);
    return { upload: row, status: statusOf(row, nowMs), file: file ?? null };
  }

  #dropParts(id: string, nowMs: number): void {
    this.#sql.exec(
      "UPDATE doomed SET due_at = ? WHERE r2_key IN (SELECT r2_key FROM part WHERE upload_id = ?)",
      nowMs,
      id,
    );
    this.#sql.exec("DELETE FROM part WHERE upload_id = ?", id);
  }

  #forgetBefore(ms: number): void {
    this.#sql.exec(
      "DELETE FROM part WHERE upload_id IN (SELECT id FROM upload WHERE expires_at <= ?)",
      ms,
    );
    this.#sql.exec("DELETE FROM upload WHERE expires_at <= ?", ms);
  }
}

function statusOf(row: UploadRow, nowMs: number): UploadStatus {
  return row.status === "pending" && nowMs >= row.expires_at ? "expired" : row.status;
}

function notOpen(status: UploadStatus): Result<never> {
  return refuse(
    "invalid_request",
    `This upload is ${status}; only one that is pending takes parts, and can be completed or cancelled. Create another one.`,
    "upload_id",
    "upload_not_pending",
  );
}
