import type { z } from "zod";
import type { Sql } from "../core/sql.ts";
import type { BatchStatus, Endpoint } from "../wire/batch.ts";
import type { anyPurpose } from "../wire/file.ts";
import { firstBatchId, ownInputFileId } from "../wire/ids.ts";
import { Deleted } from "./deleted.ts";
import { Digests } from "./digests.ts";
import type { FileRow } from "./schema.ts";

/** A page of a list, and whether there is more behind it. */
export interface Page<T> {
  data: T[];
  hasMore: boolean;
}

export interface BatchQuery {
  after: string | undefined;
  limit: number;
  status: BatchStatus | undefined;
  /** A part of the id, the model or the metadata, in any case. */
  search: string | undefined;
}

/** A page of one endpoint's batches: those just older than one of them, or just newer. */
export interface EndpointQuery {
  endpoint: Endpoint;
  older: string | undefined;
  newer: string | undefined;
  limit: number;
}

export interface FileQuery {
  after: string | undefined;
  limit: number;
  order: "asc" | "desc";
  purpose: z.infer<typeof anyPurpose> | undefined;
}

/** How large a batch is when it is opened. */
export interface BatchSize {
  /** As far as that is known. */
  tasks: number;
  /** Of the tasks' bodies, or of the file whose lines they are. */
  bytes: number;
  inputFileId?: string | undefined;
}

/** The index of a project's batches and files. */
export class ProjectStore {
  readonly digests: Digests;
  readonly #deleted: Deleted;
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.digests = new Digests(sql);
    this.#deleted = new Deleted(sql);
    this.#sql = sql;
  }

  /** Adds a batch. Its id sorts by its time of creation. */
  addBatch(
    batchId: string,
    endpoint: Endpoint,
    fingerprint: string | null,
    size: BatchSize,
    nowMs: number,
  ): void {
    this.#sql.exec(
      `INSERT OR IGNORE INTO batch (batch_id, created_at, asked_at, fingerprint, endpoint, tasks,
         bytes, input_file_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      batchId,
      nowMs,
      nowMs,
      fingerprint,
      endpoint,
      size.tasks,
      size.bytes,
      size.inputFileId ?? null,
    );
  }

  /** Whether a batch is in the index. */
  hasBatch(batchId: string): boolean {
    return this.#sql.exec("SELECT 1 FROM batch WHERE batch_id = ?", batchId).toArray().length > 0;
  }

  /** The newest batch that was asked for with a fingerprint, if it is not older than a time. */
  batchAskedWith(fingerprint: string, sinceMs: number): string | undefined {
    // By id and not by created_at: the primary key is in order of time, so few rows are read.
    return this.#sql
      .exec<{ batch_id: string }>(
        `SELECT batch_id FROM batch WHERE batch_id >= ? AND fingerprint = ?
         ORDER BY batch_id DESC LIMIT 1`,
        firstBatchId(sinceMs),
        fingerprint,
      )
      .toArray()[0]?.batch_id;
  }

  /** Takes a batch and its output files out. An input file of its own expires now. */
  removeBatch(batchId: string, nowMs: number): void {
    this.digests.remove(batchId);
    this.#deleted.remember("batch", "batch_id", batchId, nowMs);
    this.#deleted.remember("file", "batch_id", batchId, nowMs);
    this.#sql.exec("DELETE FROM batch WHERE batch_id = ?", batchId);
    this.#sql.exec("DELETE FROM file WHERE batch_id = ?", batchId);
    this.#sql.exec("UPDATE file SET expires_at = ? WHERE id = ?", nowMs, ownInputFileId(batchId));
  }

  /** Whether a batch is in the index, or was a short while ago: a list may go on behind it. */
  isCursor(batchId: string): boolean {
    return this.hasBatch(batchId) || this.#deleted.has(batchId);
  }

  /**
   * Batch ids, the newest first, those created before the one named by `after`. One that has not
   * told of itself yet is taken for a match: the caller looks at it anyway.
   */
  batches({ after, limit, status, search }: BatchQuery): Page<string> {
    const rows = this.#sql
      .exec<{ batch_id: string }>(
        `SELECT batch.batch_id FROM batch LEFT JOIN digest USING (batch_id)
         WHERE batch.batch_id < ?1
           AND (?3 IS NULL OR digest.status IS NULL OR digest.status = ?3)
           AND (?4 IS NULL OR digest.status IS NULL OR instr(batch.batch_id, ?4) OR instr(lower(digest.model), ?4)
             OR instr(lower(digest.metadata), ?4))
         ORDER BY batch.batch_id DESC LIMIT ?2`,
        after ?? "batch_~",
        limit + 1,
        status ?? null,
        search?.toLowerCase() ?? null,
      )
      .toArray();
    return { data: rows.slice(0, limit).map((row) => row.batch_id), hasMore: rows.length > limit };
  }

  /** Ids of one endpoint's batches, the newest first. */
  batchesOf({ endpoint, older, newer, limit }: EndpointQuery): Page<string> {
    const rows = this.#sql
      .exec<{ batch_id: string }>(
        `SELECT batch_id FROM batch WHERE endpoint = ? AND batch_id < ? AND batch_id > ?
         ORDER BY batch_id ${newer === undefined ? "DESC" : "ASC"} LIMIT ?`,
        endpoint,
        older ?? "batch_~",
        newer ?? "",
        limit + 1,
      )
      .toArray();
    const data = rows.slice(0, limit).map((row) => row.batch_id);
    return { data: newer === undefined ? data : data.reverse(), hasMore: rows.length > limit };
  }

  /** Adds a file. The same id twice is one file, the first. @returns the file of that id. */
  addFile(row: FileRow): FileRow {
    this.#sql.exec(
      `INSERT OR IGNORE INTO file (id, purpose, filename, bytes, created_at, expires_at, r2_key,
         sha256, batch_id, kind, lines) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      row.id,
      row.purpose,
      row.filename,
      row.bytes,
      row.created_at,
      row.expires_at,
      row.r2_key,
      row.sha256,
      row.batch_id,
      row.kind,
      row.lines,
    );
    return this.#sql.exec<FileRow>("SELECT * FROM file WHERE id = ?", row.id).one();
  }

  /** A file that has not expired. */
  file(id: string, nowMs: number): FileRow | undefined {
    return this.#sql
      .exec<FileRow>(
        "SELECT * FROM file WHERE id = ? AND (expires_at IS NULL OR expires_at > ?)",
        id,
        nowMs,
      )
      .toArray()[0];
  }

  /** Takes a file out. */
  removeFile(id: string, nowMs: number): void {
    this.#deleted.remember("file", "id", id, nowMs);
    this.#sql.exec("DELETE FROM file WHERE id = ?", id);
  }

  /** Puts a file in place of the one with its id. */
  replaceFile(row: FileRow): void {
    this.#sql.exec("DELETE FROM file WHERE id = ?", row.id);
    this.addFile(row);
  }

  /** Where a list goes on behind a file that is there, or was a short while ago. */
  fileCursor(id: string): { id: string; created_at: number } | undefined {
    return this.#sql
      .exec<{ id: string; created_at: number }>(
        `SELECT id, created_at FROM file WHERE id = ?1
         UNION ALL SELECT id, created_at FROM deleted WHERE id = ?1`,
        id,
      )
      .toArray()[0];
  }

  /** Files that have expired, whose bytes may go. */
  expired(nowMs: number, limit: number): FileRow[] {
    return this.#sql
      .exec<FileRow>("SELECT * FROM file WHERE expires_at <= ? LIMIT ?", nowMs, limit)
      .toArray();
  }

  /** When the next file expires. */
  nextExpiryMs(): number | undefined {
    return (
      this.#sql.exec<{ next: number | null }>("SELECT min(expires_at) AS next FROM file").one()
        .next ?? undefined
    );
  }

  /** Files that have not expired, by time of creation. */
  files(query: FileQuery, nowMs: number): Page<FileRow> {
    const [beyond, order] = query.order === "asc" ? [">", "ASC"] : ["<", "DESC"];
    const cursor = query.after === undefined ? undefined : this.fileCursor(query.after);
    const rows = this.#sql
      .exec<FileRow>(
        `SELECT * FROM file
         WHERE (expires_at IS NULL OR expires_at > ?1)
           AND (?2 IS NULL OR purpose = ?2)
           AND (?3 IS NULL OR (created_at, id) ${beyond} (?3, ?4))
         ORDER BY created_at ${order}, id ${order} LIMIT ?5`,
        nowMs,
        query.purpose ?? null,
        cursor?.created_at ?? null,
        cursor?.id ?? "",
        query.limit + 1,
      )
      .toArray();
    return { data: rows.slice(0, query.limit), hasMore: rows.length > query.limit };
  }
}
