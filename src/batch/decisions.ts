import type { DecisionEvent } from "../log.ts";
import type { BatchRow, ProgressRow } from "./schema.ts";

/** What of a batch may be changed while it is open, as far as it is logged: not the metadata. */
const CHANGEABLE = ["max_concurrency", "priority", "pool", "max_tokens_total", "max_cost"] as const;

/**
 * What was decided of a batch between two looks at its row, in the order in which it can happen.
 * Whatever changes the row needs no word of its own.
 *
 * @param before undefined when it was not open yet.
 * @param traffic exchanges and asks of the Limiter, told with the end.
 */
export function decisionsBetween(
  before: Readonly<BatchRow> | undefined,
  after: Readonly<BatchRow>,
  { total, succeeded, failed, cancelled, expired }: ProgressRow,
  traffic: { exchanges: number; asks: number },
): DecisionEvent[] {
  const { batch_id: batch, project, status } = after;
  const decided: DecisionEvent[] = [];
  if (before === undefined) {
    const { endpoint, priority, max_concurrency } = after;
    const inline = after.source_key === null;
    decided.push({
      event: "batch_opened",
      batch,
      project,
      endpoint,
      inline,
      priority,
      max_concurrency,
    });
  }
  if (before !== undefined && after.run > before.run) {
    decided.push({ event: "batch_retried", batch, run: after.run });
  } else if (status === "failed" && before?.status !== "failed") {
    decided.push({ event: "batch_failed", batch });
  } else if (after.in_progress_at !== null && (before?.in_progress_at ?? null) === null) {
    decided.push({ event: "batch_started", batch, total });
  }
  if (before !== undefined) {
    const changed = CHANGEABLE.filter((name) => before[name] !== after[name]);
    if (changed.length > 0) {
      const figures = Object.fromEntries(changed.map((name) => [name, after[name]]));
      decided.push({ event: "batch_changed", batch, ...figures });
    }
  }
  const wasPaused = before !== undefined && before.paused_at !== null;
  if (after.paused_at !== null && !wasPaused) decided.push({ event: "batch_paused", batch });
  if (after.paused_at === null && wasPaused && after.ending === null)
    decided.push({ event: "batch_resumed", batch });
  const { ending } = after;
  if (ending !== null && ending !== "completed" && ending !== (before?.ending ?? null)) {
    decided.push({ event: "batch_stopping", batch, ending });
  }
  if (ENDED.includes(status) && status !== before?.status) {
    const counts = { total, succeeded, failed, cancelled, expired };
    decided.push({ event: "batch_ended", batch, status, ...counts, ...traffic });
  }
  if (after.removed_at !== null && (before?.removed_at ?? null) === null) {
    decided.push({ event: "batch_removed", batch });
  }
  return decided;
}

const ENDED: readonly string[] = ["completed", "expired", "cancelled"];
