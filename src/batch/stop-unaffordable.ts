import { dollarsOf } from "../core/price.ts";
import { outputLineStem } from "../wire/ids.ts";
import type { BatchRow, ProgressRow } from "./schema.ts";
import type { Close } from "./store/closing.ts";
import type { Store } from "./store/store.ts";

/** Tasks that are looked at, and ended in one transaction. */
const STOP_AT_ONCE = 5_000;

/** Whether the next task in line is one that the batch's budget will never pay for. */
export function isStuck(store: Store): boolean {
  return store.tasks.unaffordable(1).length > 0;
}

/**
 * Ends the next tasks in line that the budget will never pay for: what is spent stays spent, even if
 * every call in flight gave back all that is reserved for it. The batch goes on with those behind
 * them, if they need less.
 *
 * @returns whether there were any.
 */
export function stopUnaffordable(store: Store, row: BatchRow, nowMs: number): boolean {
  return store.transaction(() => {
    const seqs = store.tasks.unaffordable(STOP_AT_ONCE);
    if (seqs.length === 0) return false;
    const close = closeOf(row, store.progress());
    store.closing.unaffordable(seqs, close, outputLineStem(row.batch_id), nowMs);
    return true;
  });
}

function closeOf(row: BatchRow, progress: ProgressRow): Close {
  const budgets: string[] = [];
  if (row.max_tokens_total !== null) {
    const spent = progress.input_tokens + progress.output_tokens;
    budgets.push(`max_tokens_total of ${row.max_tokens_total} (${spent} spent)`);
  }
  if (row.max_cost !== null) {
    const spent = dollarsOf(progress.cost);
    budgets.push(`max_cost of ${dollarsOf(row.max_cost)} US dollars (${spent} spent)`);
  }
  const what = budgets.join(" or its ");
  return {
    state: "failed",
    error: {
      code: "budget_stopped",
      message: `This request was not executed: with all the output it allows it may go over the batch's ${what}. Retry the batch with a higher one.`,
    },
  };
}
