import type { SQLSchemaMigration } from "durable-utils/sql-migrations";

/**
 * The tables of a Limiter. One writer: its store.
 * - `quota`: one row, the buckets and the cooldown.
 * - `hold`: one row for each batch that has or wants calls.
 */
export const migrations: SQLSchemaMigration[] = [
  {
    idMonotonicInc: 1,
    description: "quota and holds",
    sql: `
      CREATE TABLE IF NOT EXISTS quota (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        requests_tat REAL NOT NULL,
        tokens_tat REAL NOT NULL,
        cooldown_until REAL NOT NULL,
        throttles INTEGER NOT NULL,
        asked_at REAL NOT NULL
      ) STRICT;
      CREATE TABLE IF NOT EXISTS hold (
        batch TEXT PRIMARY KEY,
        held INTEGER NOT NULL,
        unmet INTEGER NOT NULL,
        unmet_cost INTEGER NOT NULL,
        waiting_since REAL NOT NULL,
        seen_at REAL NOT NULL
      ) STRICT, WITHOUT ROWID;`,
  },
  {
    idMonotonicInc: 2,
    description: "weights of batches, and when each is to ask again",
    sql: `
      ALTER TABLE hold ADD COLUMN weight REAL NOT NULL DEFAULT 10;
      ALTER TABLE hold ADD COLUMN due_at REAL NOT NULL DEFAULT 0;`,
  },
];

/** Times are milliseconds since the epoch. */
export type QuotaRow = {
  requests_tat: number;
  tokens_tat: number;
  cooldown_until: number;
  throttles: number;
  asked_at: number;
};

/** `batch` is `project/batch_id`. */
export type HoldRow = {
  batch: string;
  held: number;
  unmet: number;
  unmet_cost: number;
  waiting_since: number;
  seen_at: number;
  weight: number;
  due_at: number;
};
