import type { TaskState } from "../core/task.ts";
import type { Sent } from "../webhooks/deliver.ts";
import type { BatchStatus, Endpoint } from "../wire/batch.ts";
import type { EventType } from "../wire/event.ts";

/**
 * The tables of a Batch, made by migrations.ts, and who writes them. Times are milliseconds since
 * the epoch.
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
  /** 1 once all its tasks are there and good: read from the whole file, or opened with them. */
  source_read: 0 | 1;
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
