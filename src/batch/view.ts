import { dollarsOf } from "../core/price.ts";
import type { BatchError, BatchObject, TaskCounts } from "../wire/batch.ts";
import { outputFileIds } from "../wire/ids.ts";
import { erasedAtMs } from "./erase.ts";
import type { BatchRow, ProgressRow } from "./schema.ts";

const seconds = (ms: number) => Math.floor(ms / 1000);
const secondsOrNull = (ms: number | null) => (ms === null ? null : seconds(ms));

/** A batch as clients see it, without its webhook's secret. */
export function viewOf(row: BatchRow, progress: ProgressRow): BatchObject {
  const files = outputFileIds(row.batch_id);
  const ended = ["completed", "expired", "cancelled"].includes(row.status);
  return {
    id: row.batch_id,
    object: "batch",
    endpoint: row.endpoint,
    model: row.model || null,
    errors:
      row.errors === null || row.status !== "failed"
        ? null
        : { object: "list", data: JSON.parse(row.errors) as BatchError[] },
    input_file_id: row.input_file_id,
    completion_window: row.completion_window,
    status: row.status,
    output_file_id: ended && progress.output_bytes > 0 ? files.output : null,
    error_file_id: ended && progress.error_bytes > 0 ? files.error : null,
    created_at: seconds(row.created_at),
    in_progress_at: secondsOrNull(row.in_progress_at),
    expires_at: seconds(row.expires_at),
    finalizing_at: secondsOrNull(row.finalizing_at),
    completed_at: secondsOrNull(row.completed_at),
    failed_at: secondsOrNull(row.failed_at),
    expired_at: secondsOrNull(row.expired_at),
    cancelling_at: secondsOrNull(row.cancelling_at),
    cancelled_at: secondsOrNull(row.cancelled_at),
    request_counts: {
      // Of a file that is being read, all that it has.
      total: Math.max(progress.total, row.status === "failed" ? 0 : (row.announced ?? 0)),
      completed: progress.succeeded,
      failed: progress.failed,
    },
    usage: {
      input_tokens: progress.input_tokens,
      input_tokens_details: { cached_tokens: progress.cached_tokens },
      output_tokens: progress.output_tokens,
      output_tokens_details: { reasoning_tokens: progress.reasoning_tokens },
      total_tokens: progress.input_tokens + progress.output_tokens,
    },
    metadata: row.metadata === null ? null : (JSON.parse(row.metadata) as Record<string, string>),
    muster: {
      counts: taskCountsOf(progress),
      upstream: row.upstream,
      run: row.run,
      paused: row.paused_at !== null,
      on_unknown: row.on_unknown,
      audit: {
        ...taskCountsOf(progress),
        total: progress.total,
        input_sha256: row.input_sha256,
        outcomes_sha256: row.outcomes_sha256,
      },
      max_concurrency: row.max_concurrency,
      priority: row.priority,
      budget: budgetOf(row, progress),
      dedupe: row.dedupe === 1,
      pool: row.pool === 1,
      twins: progress.twins,
      results_deleted_at: secondsOrNull(erasedAtMs(row, "all")),
      webhook: row.webhook_url === null ? null : { url: row.webhook_url },
    },
  };
}

function budgetOf(row: BatchRow, progress: ProgressRow): BatchObject["muster"]["budget"] {
  const priced = progress.priced > 0;
  return {
    max_tokens_total: row.max_tokens_total,
    max_cost: row.max_cost === null ? null : dollarsOf(row.max_cost),
    spent_tokens: progress.input_tokens + progress.output_tokens,
    spent_cost: priced ? dollarsOf(progress.cost) : null,
    reserved_tokens: progress.reserved_tokens,
    reserved_cost: priced ? dollarsOf(progress.reserved_cost) : null,
    stopped: progress.budget_stopped,
  };
}

function taskCountsOf(progress: ProgressRow): TaskCounts {
  const { pending, running, succeeded, failed, cancelled, expired } = progress;
  return { pending, running, succeeded, failed, cancelled, expired };
}
