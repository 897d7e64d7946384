import type { SQLSchemaMigration } from "durable-utils/sql-migrations";
import type { EventType } from "../wire/event.ts";
import type { FilePurpose } from "../wire/file.ts";

/**
 * The tables of a Project, and who writes them. Times are milliseconds since the epoch.
 * - `batch`: a row a batch, its index, and how large it was when it was asked for; everything else
 *   about it is in the batch's own object. Written by store.ts; `asked_at`, which is null once the
 *   batch has told of itself, by unopened.ts.
 * - `self`: one row, the project's name, which an object's alarm is not told. Written by unopened.ts.
 * - `digest`: a row a batch that told of itself; written by digests.ts, from the batch.
 * - `gone`: one row, the sums of the batches that were deleted, so that counters never fall.
 * - `file`: a row a file. An uploaded one's bytes are in R2, an output file's in its batch. Written
 *   by store.ts.
 * - `endpoint`: a row a webhook endpoint; `endpoint_secret`: a row each of its secrets in force.
 *   Written by endpoint-store.ts.
 * - `endpoint_attempt`: a row each of the last attempts to send to an endpoint. Written by
 *   attempt-store.ts.
 * - `upload`: a row an upload in parts; `part`: a row each of its parts. Written by uploads.ts.
 * - `doomed`: a row an R2 object that is to be deleted at a time. Written by doomed.ts.
 * - `deleted`: a row a batch, file or webhook endpoint that was deleted, for a day: it may be a list's
 *   cursor. Written by deleted.ts.
 * - `idempotency`: a row a key that a POST carried. Written by idempotency.ts.
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
  {
    idMonotonicInc: 2,
    description: "webhook endpoints",
    sql: `
      CREATE TABLE IF NOT EXISTS endpoint (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        url TEXT NOT NULL,
        event_types TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        disabled_at INTEGER,
        disabled_reason TEXT,
        rest_until INTEGER NOT NULL DEFAULT 0
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS endpoint_secret (
        endpoint_id TEXT NOT NULL,
        generation INTEGER NOT NULL,
        secret TEXT NOT NULL,
        expires_at INTEGER,
        PRIMARY KEY (endpoint_id, generation)
      ) STRICT, WITHOUT ROWID;`,
  },
  {
    idMonotonicInc: 3,
    description: "idempotency keys, and what each batch was asked for with",
    sql: `
      ALTER TABLE batch ADD COLUMN fingerprint TEXT;
      CREATE TABLE IF NOT EXISTS idempotency (
        key TEXT PRIMARY KEY,
        fingerprint TEXT NOT NULL,
        seed TEXT NOT NULL,
        begun_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        status INTEGER,
        headers TEXT,
        body TEXT
      ) STRICT;
      CREATE INDEX IF NOT EXISTS idempotency_expires ON idempotency (expires_at);`,
  },
  {
    idMonotonicInc: 4,
    description: "what batches tell of themselves, and what those that are gone had told",
    sql: `
      CREATE TABLE IF NOT EXISTS digest (
        batch_id TEXT PRIMARY KEY,
        status TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        model TEXT,
        metadata TEXT,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        noted_at INTEGER NOT NULL,
        pending INTEGER NOT NULL,
        running INTEGER NOT NULL,
        succeeded INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        cancelled INTEGER NOT NULL,
        expired INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS digest_status ON digest (status);
      CREATE TABLE IF NOT EXISTS gone (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        batches INTEGER NOT NULL DEFAULT 0,
        input_tokens INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        succeeded INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        cancelled INTEGER NOT NULL DEFAULT 0,
        expired INTEGER NOT NULL DEFAULT 0
      ) STRICT;
      INSERT OR IGNORE INTO gone (id) VALUES (1);`,
  },
  {
    idMonotonicInc: 5,
    description: "uploads in parts, bytes to delete, cursors of what was deleted",
    sql: `
      CREATE TABLE IF NOT EXISTS upload (
        id TEXT PRIMARY KEY,
        bytes INTEGER NOT NULL,
        filename TEXT NOT NULL,
        expires_after_s INTEGER,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        status TEXT NOT NULL DEFAULT 'pending',
        part_ids TEXT,
        file_id TEXT
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS part (
        id TEXT PRIMARY KEY,
        upload_id TEXT NOT NULL,
        r2_key TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        created_at INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS part_upload ON part (upload_id);
      CREATE TABLE IF NOT EXISTS doomed (
        r2_key TEXT PRIMARY KEY,
        due_at INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS doomed_due ON doomed (due_at);
      CREATE TABLE IF NOT EXISTS deleted (
        id TEXT PRIMARY KEY,
        created_at INTEGER NOT NULL,
        deleted_at INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS deleted_when ON deleted (deleted_at);`,
  },
  {
    idMonotonicInc: 6,
    description: "attempts to send to webhook endpoints",
    sql: `
      CREATE TABLE IF NOT EXISTS endpoint_attempt (
        endpoint_id TEXT NOT NULL,
        delivery_id TEXT NOT NULL,
        n INTEGER NOT NULL,
        batch_id TEXT,
        event_id TEXT NOT NULL,
        type TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        took_ms INTEGER NOT NULL,
        status INTEGER,
        error TEXT,
        next_at INTEGER,
        PRIMARY KEY (endpoint_id, delivery_id, n)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS endpoint_attempt_started
        ON endpoint_attempt (endpoint_id, started_at);`,
  },
  {
    idMonotonicInc: 7,
    description: "which endpoint a batch calls: one door lists the batches of one endpoint",
    sql: `
      ALTER TABLE batch ADD COLUMN endpoint TEXT;
      CREATE INDEX IF NOT EXISTS batch_endpoint ON batch (endpoint, batch_id)
        WHERE endpoint IS NOT NULL;`,
  },
  {
    idMonotonicInc: 8,
    description: "what quotas count before a batch tells of itself: its tasks, a file's lines",
    sql: `
      ALTER TABLE batch ADD COLUMN tasks INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE file ADD COLUMN lines INTEGER;`,
  },
  {
    idMonotonicInc: 9,
    description: "bytes of tasks that a batch was opened with, which no file has",
    sql: "ALTER TABLE batch ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;",
  },
  {
    idMonotonicInc: 10,
    description: "since when a batch that has told nothing of itself is waited for",
    sql: `
      ALTER TABLE batch ADD COLUMN asked_at INTEGER;
      UPDATE batch SET asked_at = created_at WHERE batch_id NOT IN (SELECT batch_id FROM digest);
      CREATE INDEX IF NOT EXISTS batch_asked ON batch (asked_at) WHERE asked_at IS NOT NULL;
      CREATE TABLE IF NOT EXISTS self (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        project TEXT NOT NULL
      ) STRICT;`,
  },
  {
    idMonotonicInc: 11,
    description:
      "names of files from before they were short: lists of long ones cannot be answered",
    sql: "UPDATE file SET filename = substr(filename, 1, 255) WHERE octet_length(filename) > 255;",
  },
  {
    idMonotonicInc: 12,
    description: "the file whose lines a batch has a copy of",
    sql: "ALTER TABLE batch ADD COLUMN input_file_id TEXT;",
  },
];

export type UploadRow = {
  id: string;
  /** What its file is to have. */
  bytes: number;
  filename: string;
  /** Seconds its file is kept; null is as long as any. */
  expires_after_s: number | null;
  created_at: number;
  /** One that is pending has expired then. */
  expires_at: number;
  status: "pending" | "completed" | "cancelled";
  /** JSON: the parts it was completed with, and its file. */
  part_ids: string | null;
  file_id: string | null;
};

export type PartRow = {
  id: string;
  upload_id: string;
  r2_key: string;
  bytes: number;
  created_at: number;
};

export type KeyRow = {
  key: string;
  /** Of the request it came with: method, path, body. */
  fingerprint: string;
  /** What the ids of what the request makes are made from. */
  seed: string;
  begun_at: number;
  expires_at: number;
  /** The answer; null until there is one. */
  status: number | null;
  /** JSON. */
  headers: string | null;
  body: string | null;
};

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
  /** Of an uploaded file; null of one that was uploaded before they were counted. */
  lines: number | null;
  /** The batch that an output file is read from, and which of its two. */
  batch_id: string | null;
  kind: "output" | "error" | null;
};

export type EndpointRow = {
  id: string;
  name: string;
  url: string;
  /** JSON. */
  event_types: string;
  created_at: number;
  /** Of the configuration or a secret; a delivery that began earlier says nothing about it. */
  updated_at: number;
  disabled_at: number | null;
  disabled_reason: string | null;
  /** It said that it has too much to do: nothing is sent before this time. */
  rest_until: number;
};

/** An endpoint as it is shown: its types read, and a hint of its secret. */
export type Endpoint = Omit<EndpointRow, "event_types"> & {
  eventTypes: EventType[];
  secretHint: string;
};

export type EndpointAttemptRow = {
  delivery_id: string;
  n: number;
  /** Null for a test. */
  batch_id: string | null;
  event_id: string;
  type: EventType;
  started_at: number;
  took_ms: number;
  status: number | null;
  error: string | null;
  next_at: number | null;
};
