import type { SQLSchemaMigration } from "durable-utils/sql-migrations";
import type { TaskState } from "../core/task.ts";
import type { Sent } from "../webhooks/deliver.ts";
import type { BatchStatus, Endpoint } from "../wire/batch.ts";
import type { EventType } from "../wire/event.ts";

/**
 * The tables of a Batch, and who writes them. Times are milliseconds since the epoch.
 * - `batch`: one row, what was asked and how far it is. Written by store/batch-row.ts.
 * - `progress`: one row, counts and sums. Written with every change of a task, by store/tasks.ts.
 * - `task`: a row a task, its state. Written by store/tasks.ts; by store/intake.ts when it comes in.
 * - `input`: a row a task, its request body. Apart from `task`, so that a change of state does not
 *   rewrite a long body. Written once by store/intake.ts.
 * - `outcome`: a row a finished task, its output line as it is read. Written once by store/tasks.ts.
 * - `recorded`: a row an outcome, in the order of recording, and one each end (`seq` is null): the
 *   ids of live events. Written by triggers; a rerun takes out those of the outcomes that go.
 * - `attempt`: a row an attempt that did not end its task, and where its call went. Written by
 *   store/record.ts, and by store/tasks.ts and store/closing.ts for those that were lost.
 * - `holder`: a row a consumer conversation that is under way. Written by store/holders.ts.
 * - `settling`: a row an ended task whose twins have not all ended yet. Written by store/twins.ts.
 * - `price`: a row a price that tasks have, in nano-dollars for a million tokens. Written by
 *   store/prices.ts.
 * - `event`: a row an end of the batch, to be announced to its project's endpoints. Written by
 *   store/deliveries.ts, as are the next two.
 * - `delivery`: a row a webhook to send: to the batch's own URL, or to an endpoint.
 * - `delivery_attempt`: a row an attempt of a delivery; those at endpoints are told to the Project.
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
];

/**
 * Why a batch hands out no more tasks: all are done, its client cancelled it, its window is over, or
 * the upstream refuses its key.
 */
export type Ending = "completed" | "cancelled" | "expired" | "refused";

export type BatchRow = {
  project: string;
  batch_id: string;
  upstream: string;
  endpoint: Endpoint;
  model: string | null;
  input_file_id: string | null;
  completion_window: string;
  /** JSON. */
  metadata: string | null;
  max_concurrency: number | null;
  /** Its weight where batches compete: 1 to 100. */
  priority: number;
  /** Seconds after its end that its results are kept; null is as long as the batch. */
  output_expires_after_s: number | null;
  /** When the outcomes of its output and of its error file were deleted. */
  output_erased_at: number | null;
  error_erased_at: number | null;
  /** The budget: tokens, and nano-dollars. */
  max_tokens_total: number | null;
  max_cost: number | null;
  /** 1 when equal bodies are called once. */
  dedupe: 0 | 1;
  /** 1 when all upstreams that serve it are used at once; null of one opened before it could be said. */
  pool: 0 | 1 | null;
  webhook_url: string | null;
  webhook_secret: string | null;
  /** What becomes of a task whose consumer was lost: called again, or failed. */
  on_unknown: "retry" | "fail";
  /** SHA-256 of the bytes the client sent, and of all output lines in input order. Hex. */
  input_sha256: string | null;
  outcomes_sha256: string | null;
  /** 1, and one more with each retry of what failed. */
  run: number;
  paused_at: number | null;
  status: BatchStatus;
  /** Set when the batch stops handing out tasks; null while it runs. */
  ending: Ending | null;
  /** JSON: validation errors. */
  errors: string | null;
  /** JSON: headers that each call carries as the client sent them. */
  call_headers: string | null;
  /** How many tasks its file has, where that is known before it is read. */
  announced: number | null;
  /** The R2 key of the input file, and how far it has been read: whole lines only. */
  source_key: string | null;
  source_offset: number;
  source_line: number;
  created_at: number;
  expires_at: number;
  in_progress_at: number | null;
  finalizing_at: number | null;
  completed_at: number | null;
  failed_at: number | null;
  expired_at: number | null;
  cancelling_at: number | null;
  cancelled_at: number | null;
  /** When its client deleted it. */
  removed_at: number | null;
  /** The status and the calls in flight that the project knows of, and when it was told. */
  told_status: BatchStatus | null;
  told_running: number;
  told_at: number;
};

export type ProgressRow = {
  total: number;
  input_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  /** Bytes of the output and of the error file. */
  output_bytes: number;
  error_bytes: number;
  /** Answers 401 since the last success. */
  unauthorized: number;
  /** Tasks whose model has a price. */
  priced: number;
  /** Nano-dollars that all calls so far have cost. */
  cost: number;
  /** Of the budget, for the calls in flight. */
  reserved_tokens: number;
  reserved_cost: number;
  /** Tokens of the longest output so far. */
  longest_output: number;
  /** Tasks that failed for want of budget. */
  budget_stopped: number;
  /** Tasks that share an earlier one's call, and those of them that are pending. */
  twins: number;
  twins_pending: number;
} & Record<TaskState, number>;

/** An event of the batch. Its id is the webhook-id, the same at every attempt and every receiver. */
export type EventRow = {
  id: string;
  type: EventType;
  body: string;
  /** When deliveries to the endpoints were made of it; null until then. */
  announced_at: number | null;
};

export type DeliveryRow = {
  /** The event's id for the batch's own webhook; with the endpoint's behind it for an endpoint. */
  id: string;
  event_id: string;
  type: EventType;
  /** Null for the batch's own webhook. */
  endpoint_id: string | null;
  /** For an endpoint, where it was when it was last sent to. */
  url: string;
  body: string;
  state: Sent["state"];
  /** Since it was last made due. */
  attempts: number;
  /** 1, and one more each time it is sent again by hand: an attempt of an earlier round ends none. */
  round: number;
  next_at: number;
  last_status: number | null;
  last_error: string | null;
};

export type DeliveryAttemptRow = {
  delivery_id: string;
  n: number;
  started_at: number;
  took_ms: number;
  status: number | null;
  error: string | null;
  /** When it was to be tried again; null after the last one. */
  next_at: number | null;
  /** Until when the receiver is to be left alone; 0 when it did not ask for it. */
  rest_until: number;
  /** 1 when the Project has heard of it, or need not. */
  told: number;
};

/** A delivery, and all that is kept of its attempts. */
export interface DeliveryHistory {
  delivery: DeliveryRow;
  attempts: DeliveryAttemptRow[];
}
