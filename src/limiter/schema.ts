import type { SQLSchemaMigration } from "durable-utils/sql-migrations";
import { z } from "zod";

/**
 * The tables of a Limiter. One writer: its store.
 * - `quota`: one row, the buckets and the cooldown.
 * - `hold`: one row for each batch that has or wants calls.
 * - `output`: one row for each model, the mean length of its latest answers, in tokens.
 * - `breaker`: one row, whether the upstream answers; none while every call was answered.
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
  {
    idMonotonicInc: 3,
    description: "what was found out of the upstream's limits",
    sql: `
      ALTER TABLE quota ADD COLUMN learned TEXT;
      CREATE TABLE IF NOT EXISTS output (
        model TEXT PRIMARY KEY,
        mean REAL NOT NULL
      ) STRICT, WITHOUT ROWID;`,
  },
  {
    idMonotonicInc: 4,
    description: "whether the upstream answers",
    sql: `
      CREATE TABLE IF NOT EXISTS breaker (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        state TEXT NOT NULL
      ) STRICT;`,
  },
];

/** Times are milliseconds since the epoch. */
export type QuotaRow = {
  requests_tat: number;
  tokens_tat: number;
  cooldown_until: number;
  throttles: number;
  asked_at: number;
  /** JSON: a {@link learned}; null where nothing was found out yet. */
  learned: string | null;
};

const bucket = z.object({
  perMinute: z.number().positive(),
  burst: z.number().positive(),
  limit: z.number().positive().optional(),
});

/** `Learned` (core/learned.ts) as it is kept. One that an older version wrote may not fit: it is found out anew. */
export const learned = z.object({
  requests: bucket.nullable(),
  tokens: bucket.nullable(),
  toldAtMs: z.number(),
  open: z.number().positive(),
  held: z.boolean(),
  pace: z.object({
    perMinute: z.number().positive().nullable(),
    seek: z.number(),
    lastSeek: z.number(),
    granted: z.number(),
    window: z.object({
      busyMs: z.number(),
      restedMs: z.number(),
      granted: z.number(),
      refused: z.number(),
      aheadMs: z.number(),
    }),
    lastStartMs: z.number(),
    busy: z.boolean(),
    cuts: z.number(),
    cutShare: z.number(),
    settledAtMs: z.number(),
    stormAtMs: z.number(),
    deafUntilMs: z.number(),
    refusedShare: z.number(),
    unknownShare: z.number(),
  }),
});

/** `Breaker` (core/breaker.ts) as it is kept. One that does not fit is taken for an upstream that is up. */
export const breaker = z.object({
  failures: z.number(),
  failingSinceMs: z.number(),
  probes: z.number(),
  probeAtMs: z.number(),
  prober: z.string().nullable(),
  probingSinceMs: z.number(),
});

/** `state` is JSON: a {@link breaker}. */
export type BreakerRow = { state: string };

export type OutputRow = { model: string; mean: number };

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
