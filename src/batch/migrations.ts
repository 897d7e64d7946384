import type { SQLSchemaMigration } from "durable-utils/sql-migrations";

/**
 * How the tables of a Batch came to be what schema.ts says they are. One that was ever deployed is
 * not changed any more: there are batches that it has run on.
 */
export const migrations: SQLSchemaMigration[] = [
  {
    idMonotonicInc: 1,
    description: "batches, tasks, outcomes, conversations, deliveries",
    sql: `
      CREATE TABLE IF NOT EXISTS batch (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        project TEXT NOT NULL,
        batch_id TEXT NOT NULL,
        upstream TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        model TEXT,
        input_file_id TEXT,
        completion_window TEXT NOT NULL,
        metadata TEXT,
        max_concurrency INTEGER,
        webhook_url TEXT,
        webhook_secret TEXT,
        on_unknown TEXT NOT NULL,
        input_sha256 TEXT,
        outcomes_sha256 TEXT,
        run INTEGER NOT NULL DEFAULT 1,
        paused_at INTEGER,
        status TEXT NOT NULL,
        ending TEXT,
        errors TEXT,
        source_key TEXT,
        source_offset INTEGER NOT NULL DEFAULT 0,
        source_line INTEGER NOT NULL DEFAULT 0,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        in_progress_at INTEGER,
        finalizing_at INTEGER,
        completed_at INTEGER,
        failed_at INTEGER,
        expired_at INTEGER,
        cancelling_at INTEGER,
        cancelled_at INTEGER
      ) STRICT;
      CREATE TABLE IF NOT EXISTS progress (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        total INTEGER NOT NULL DEFAULT 0,
        pending INTEGER NOT NULL DEFAULT 0,
        running INTEGER NOT NULL DEFAULT 0,
        succeeded INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        cancelled INTEGER NOT NULL DEFAULT 0,
        expired INTEGER NOT NULL DEFAULT 0,
        input_tokens INTEGER NOT NULL DEFAULT 0,
        cached_tokens INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        reasoning_tokens INTEGER NOT NULL DEFAULT 0,
        output_bytes INTEGER NOT NULL DEFAULT 0,
        error_bytes INTEGER NOT NULL DEFAULT 0,
        unauthorized INTEGER NOT NULL DEFAULT 0
      ) STRICT;
      CREATE TABLE IF NOT EXISTS task (
        seq INTEGER PRIMARY KEY,
        custom_id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL DEFAULT 'pending',
        attempt INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        throttles INTEGER NOT NULL DEFAULT 0,
        throttles_alone INTEGER NOT NULL DEFAULT 0,
        throttled_at_success INTEGER NOT NULL DEFAULT -1,
        not_before INTEGER NOT NULL DEFAULT 0,
        cost INTEGER NOT NULL,
        holder TEXT,
        claimed_at INTEGER
      ) STRICT;
      CREATE INDEX IF NOT EXISTS task_again ON task (not_before, seq)
        WHERE state = 'pending' AND attempt > 0;
      CREATE INDEX IF NOT EXISTS task_held ON task (holder) WHERE state = 'running';
      CREATE TABLE IF NOT EXISTS input (
        seq INTEGER PRIMARY KEY,
        body TEXT NOT NULL
      ) STRICT;
      CREATE TABLE IF NOT EXISTS outcome (
        seq INTEGER PRIMARY KEY,
        ok INTEGER NOT NULL,
        retry INTEGER NOT NULL,
        took_ms INTEGER,
        recorded_at INTEGER NOT NULL,
        line TEXT NOT NULL
      ) STRICT;
      CREATE TABLE IF NOT EXISTS attempt (
        seq INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        ended_at INTEGER NOT NULL,
        took_ms INTEGER,
        verdict TEXT NOT NULL,
        status_code INTEGER,
        error TEXT,
        PRIMARY KEY (seq, attempt)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS holder (
        id TEXT PRIMARY KEY,
        seen_at INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS delivery (
        id TEXT PRIMARY KEY,
        url TEXT NOT NULL,
        body TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'due',
        attempts INTEGER NOT NULL DEFAULT 0,
        next_at INTEGER NOT NULL,
        last_status INTEGER,
        last_error TEXT
      ) STRICT;`,
  },
  {
    idMonotonicInc: 2,
    description: "a batch's weight where batches compete",
    sql: "ALTER TABLE batch ADD COLUMN priority INTEGER NOT NULL DEFAULT 10;",
  },
  {
    idMonotonicInc: 3,
    description: "what the project was told",
    sql: `
      ALTER TABLE batch ADD COLUMN told_status TEXT;
      ALTER TABLE batch ADD COLUMN told_running INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE batch ADD COLUMN told_at INTEGER NOT NULL DEFAULT 0;`,
  },
  {
    idMonotonicInc: 4,
    description: "when results are deleted before their batch",
    sql: `
      ALTER TABLE batch ADD COLUMN output_expires_after_s INTEGER;
      ALTER TABLE batch ADD COLUMN output_erased_at INTEGER;
      ALTER TABLE batch ADD COLUMN error_erased_at INTEGER;`,
  },
  {
    idMonotonicInc: 5,
    description: "webhook endpoints, attempts of deliveries",
    sql: `
      CREATE TABLE IF NOT EXISTS event (
        id TEXT PRIMARY KEY,
        type TEXT NOT NULL,
        body TEXT NOT NULL,
        announced_at INTEGER
      ) STRICT, WITHOUT ROWID;
      ALTER TABLE delivery ADD COLUMN event_id TEXT NOT NULL DEFAULT '';
      ALTER TABLE delivery ADD COLUMN type TEXT NOT NULL DEFAULT '';
      ALTER TABLE delivery ADD COLUMN endpoint_id TEXT;
      ALTER TABLE delivery ADD COLUMN round INTEGER NOT NULL DEFAULT 1;
      UPDATE delivery SET event_id = id, type = json_extract(body, '$.type');
      CREATE TABLE IF NOT EXISTS delivery_attempt (
        delivery_id TEXT NOT NULL,
        n INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        took_ms INTEGER NOT NULL,
        status INTEGER,
        error TEXT,
        next_at INTEGER,
        rest_until INTEGER NOT NULL,
        told INTEGER NOT NULL,
        PRIMARY KEY (delivery_id, n)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS attempt_untold ON delivery_attempt (delivery_id) WHERE told = 0;`,
  },
  {
    idMonotonicInc: 6,
    description: "the order in which outcomes were recorded, for those who listen",
    // Triggers, so that whatever writes an outcome or ends a batch cannot forget it.
    sql: `
      CREATE TABLE IF NOT EXISTS recorded (
        place INTEGER PRIMARY KEY,
        seq INTEGER
      ) STRICT;
      INSERT INTO recorded (seq) SELECT seq FROM outcome ORDER BY recorded_at, seq;
      INSERT INTO recorded (seq) SELECT NULL FROM batch
        WHERE status IN ('completed', 'failed', 'expired', 'cancelled');
      CREATE TRIGGER IF NOT EXISTS outcome_recorded AFTER INSERT ON outcome
        BEGIN INSERT INTO recorded (seq) VALUES (new.seq); END;
      CREATE TRIGGER IF NOT EXISTS batch_ended AFTER UPDATE OF status ON batch
        WHEN new.status IN ('completed', 'failed', 'expired', 'cancelled')
        BEGIN INSERT INTO recorded (seq) VALUES (NULL); END;`,
  },
  {
    idMonotonicInc: 7,
    description: "headers of a batch's calls, how many tasks it was opened with, and its removal",
    sql: `
      ALTER TABLE batch ADD COLUMN call_headers TEXT;
      ALTER TABLE batch ADD COLUMN announced INTEGER;
      ALTER TABLE batch ADD COLUMN removed_at INTEGER;`,
  },
  {
    idMonotonicInc: 8,
    description: "attempts by their end, for the timeline",
    sql: "CREATE INDEX IF NOT EXISTS attempt_ended ON attempt (ended_at);",
  },
  {
    idMonotonicInc: 9,
    description: "budgets, prices, and what is reserved for calls in flight",
    sql: `
      ALTER TABLE batch ADD COLUMN max_tokens_total INTEGER;
      ALTER TABLE batch ADD COLUMN max_cost INTEGER;
      ALTER TABLE progress ADD COLUMN priced INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE progress ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE progress ADD COLUMN reserved_tokens INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE progress ADD COLUMN reserved_cost INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE progress ADD COLUMN longest_output INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE progress ADD COLUMN budget_stopped INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE task ADD COLUMN input_tokens INTEGER;
      ALTER TABLE task ADD COLUMN output_tokens INTEGER;
      ALTER TABLE task ADD COLUMN price INTEGER;
      ALTER TABLE task ADD COLUMN reserved_tokens INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE task ADD COLUMN reserved_cost INTEGER NOT NULL DEFAULT 0;
      CREATE TABLE IF NOT EXISTS price (
        id INTEGER PRIMARY KEY,
        input INTEGER NOT NULL,
        cached_input INTEGER NOT NULL,
        output INTEGER NOT NULL,
        UNIQUE (input, cached_input, output)
      ) STRICT;`,
  },
  {
    idMonotonicInc: 10,
    description: "tasks with one body, called once",
    sql: `
      ALTER TABLE batch ADD COLUMN dedupe INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE progress ADD COLUMN twins INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE progress ADD COLUMN twins_pending INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE task ADD COLUMN body_hash TEXT;
      ALTER TABLE task ADD COLUMN twin_of INTEGER;
      CREATE INDEX IF NOT EXISTS task_body ON task (body_hash) WHERE body_hash IS NOT NULL;
      CREATE INDEX IF NOT EXISTS task_twin ON task (twin_of, state, seq) WHERE twin_of IS NOT NULL;
      CREATE INDEX IF NOT EXISTS task_fresh ON task (seq)
        WHERE body_hash IS NOT NULL AND state = 'pending' AND attempt = 0;
      CREATE TABLE IF NOT EXISTS settling (seq INTEGER PRIMARY KEY) STRICT;`,
  },
  {
    idMonotonicInc: 11,
    description: "several upstreams: which one each call goes to, and batches that use all at once",
    sql: `
      ALTER TABLE batch ADD COLUMN pool INTEGER;
      ALTER TABLE task ADD COLUMN upstream TEXT;
      ALTER TABLE attempt ADD COLUMN upstream TEXT;
      DROP INDEX IF EXISTS task_held;
      CREATE INDEX IF NOT EXISTS task_held ON task (holder, upstream) WHERE state = 'running';`,
  },
  {
    idMonotonicInc: 12,
    description: "whether the whole file was read, also of a batch that was cancelled meanwhile",
    sql: `
      ALTER TABLE batch ADD COLUMN source_read INTEGER NOT NULL DEFAULT 0;
      UPDATE batch SET source_read = 1 WHERE source_key IS NULL OR in_progress_at IS NOT NULL;`,
  },
];
