import type { SQLSchemaMigration } from "durable-utils/sql-migrations";
import type { FilePurpose } from "../wire/file.ts";

/**
 * The tables of a Project. One writer: its store. Times are milliseconds since the epoch.
 * - `batch`: a row a batch, its index; everything else about it is in the batch's own object.
 * - `file`: a row a file. An uploaded one's bytes are in R2, an output file's in its batch.
 */
export const migrations: SQLSchemaMigration[] = [
  {
    idMonotonicInc: 1,
    description: "batches and files",
    sql: `
      CREATE TABLE IF NOT EXISTS batch (
        batch_id TEXT PRIMARY KEY,
        created_at INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS file (
        id TEXT PRIMARY KEY,
        purpose TEXT NOT NULL,
        filename TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        r2_key TEXT,
        sha256 TEXT,
        batch_id TEXT,
        kind TEXT
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS file_created ON file (created_at, id);
      CREATE INDEX IF NOT EXISTS file_expires ON file (expires_at) WHERE expires_at IS NOT NULL;
      CREATE INDEX IF NOT EXISTS file_batch ON file (batch_id) WHERE batch_id IS NOT NULL;`,
  },
];

export type FileRow = {
  id: string;
  purpose: FilePurpose;
  filename: string;
  bytes: number;
  created_at: number;
  expires_at: number | null;
  /** Where an uploaded file's bytes are. */
  r2_key: string | null;
  /** Of an uploaded file's bytes, in hex. */
  sha256: string | null;
  /** The batch that an output file is read from, and which of its two. */
  batch_id: string | null;
  kind: "output" | "error" | null;
};
