import { dollarsOf } from "../core/price.ts";
import { type BatchChange, type BatchRetry, DEFAULT_PRIORITY } from "../wire/batch.ts";
import { refuse } from "../wire/errors.ts";
import type { BatchRow, ProgressRow } from "./schema.ts";
import type { Store } from "./store/store.ts";

type Refused = ReturnType<typeof refuse>;
type Budget = Pick<BatchRow, "max_tokens_total" | "max_cost">;

const LIMITS = ["max_concurrency", "priority", "pool", "max_tokens_total", "max_cost"] as const;

/**
 * Changes a batch: all that is asked, or nothing. Run it inside a transaction.
 *
 * @returns why not, if it was not.
 */
export function applyChange(store: Store, row: BatchRow, change: BatchChange): Refused | undefined {
  const limit = LIMITS.find((name) => change[name] !== undefined);
  if (limit !== undefined) {
    const { max_concurrency = row.max_concurrency, priority = row.priority } = change;
    const { budget, problem } = budgetAfter(row, store.progress(), change, "change");
    if (problem !== undefined) return problem;
    if (change.pool !== undefined && row.pool === null && row.model === "") {
      return refuse(
        "invalid_request",
        "pool: this batch has several models, and was opened by a Muster that did not compare where all of them are served. Open a new batch.",
        "pool",
        "batch_not_changeable",
      );
    }
    const pool = change.pool === undefined ? row.pool : change.pool ? 1 : 0;
    if (!store.rows.setLimits(max_concurrency, priority ?? DEFAULT_PRIORITY, pool)) {
      return refuse(
        "invalid_request",
        `${limit}: this batch is ${row.status}; of one that has ended only the metadata can be changed.`,
        limit,
        "batch_not_changeable",
      );
    }
    store.rows.setBudget(budget.max_tokens_total, budget.max_cost);
  }
  const { metadata } = change;
  if (metadata !== undefined) {
    store.rows.setMetadata(metadata === null ? null : JSON.stringify(metadata));
  }
  return undefined;
}

/**
 * The budget after a change, or why it cannot be that: one that is spent already pays for nothing.
 * A retry needs one with something left even if it does not change it.
 */
export function budgetAfter(
  row: Budget,
  progress: ProgressRow,
  change: BatchRetry,
  when: "change" | "retry",
): { budget: Budget; problem?: undefined } | { budget?: undefined; problem: Refused } {
  const budget = {
    max_tokens_total:
      change.max_tokens_total === undefined ? row.max_tokens_total : change.max_tokens_total,
    max_cost: change.max_cost === undefined ? row.max_cost : change.max_cost,
  };
  const counts = (name: keyof Budget) => when === "retry" || change[name] !== undefined;
  const tokens = progress.input_tokens + progress.output_tokens;
  if (budget.max_tokens_total !== null && counts("max_tokens_total")) {
    if (budget.max_tokens_total <= tokens) {
      return { problem: spent("max_tokens_total", `${tokens} tokens`, budget.max_tokens_total) };
    }
  }
  if (budget.max_cost !== null && counts("max_cost")) {
    if (progress.priced < progress.total) {
      const message =
        "max_cost: PRICES had no price for some of this batch's models when it was opened, so what it costs is not known. Open a new batch, or set max_tokens_total.";
      return { problem: refuse("invalid_request", message, "max_cost", "model_not_priced") };
    }
    if (budget.max_cost <= progress.cost) {
      const cost = `${dollarsOf(progress.cost)} US dollars`;
      return { problem: spent("max_cost", cost, dollarsOf(budget.max_cost)) };
    }
  }
  return { budget };
}

function spent(name: keyof Budget, amount: string, limit: number): Refused {
  return refuse(
    "invalid_request",
    `${name}: this batch has spent ${amount} already, and ${limit} leaves nothing. It takes more than that, or null for no limit.`,
    name,
    "budget_spent",
  );
}
