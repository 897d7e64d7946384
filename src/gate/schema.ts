import type { SQLSchemaMigration } from "durable-utils/sql-migrations";

/**
 * The tables of a Gate. One writer: its store. Times are milliseconds since the epoch.
 * - `profile`: one row, the project as its administrator sees it.
 * - `key`: a row an API key.
 * - `secret`: a row each secret of a key that is in force: its SHA-256 and its last characters.
 */
export const migrations: SQLSchemaMigration[] = [
  {
    idMonotonicInc: 1,
    description: "the project's profile, its keys and their secrets",
    sql: `
      CREATE TABLE IF NOT EXISTS profile (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        project TEXT NOT NULL,
        name TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        archived_at INTEGER,
        quotas TEXT NOT NULL DEFAULT '{}'
      ) STRICT;
      CREATE TABLE IF NOT EXISTS key (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        scopes TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        last_used_at INTEGER
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS secret (
        sha256 BLOB PRIMARY KEY,
        key_id TEXT NOT NULL,
        hint TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS secret_key ON secret (key_id);`,
  },
];

export type ProfileRow = {
  project: string;
  name: string;
  created_at: number;
  /** From then on the project's keys open nothing. */
  archived_at: number | null;
  /** JSON: what is set in place of the settings. */
  quotas: string;
};

export type KeyRow = {
  id: string;
  name: string;
  /** Separated by commas. */
  scopes: string;
  created_at: number;
  expires_at: number | null;
  last_used_at: number | null;
  /** Of its newest secret. */
  hint: string;
};

export type SecretRow = {
  sha256: ArrayBuffer;
  key_id: string;
  /** Null for the newest one, which is good as long as its key. */
  expires_at: number | null;
};
