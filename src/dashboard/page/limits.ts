import type { BatchObject } from "../../wire/batch.ts";

/** A batch's own limits, as they stand in fields; "" is none. */
export interface Typed {
  concurrency: string;
  tokens: string;
  dollars: string;
}

/** What a change or a retry of a batch is sent; null is no limit. */
export interface LimitChange {
  max_concurrency?: number | null;
  max_tokens_total?: number | null;
  max_cost?: number | null;
}

/** A batch's limits as they are. */
export function typedOf({ muster }: BatchObject): Typed {
  return {
    concurrency: textOf(muster.max_concurrency),
    tokens: textOf(muster.budget.max_tokens_total),
    dollars: textOf(muster.budget.max_cost),
  };
}

/** Those that are not as the batch has them. */
export function changesOf(typed: Typed, batch: BatchObject): LimitChange {
  const { muster } = batch;
  const change: LimitChange = {};
  const concurrency = limitOf(typed.concurrency);
  const tokens = limitOf(typed.tokens);
  const dollars = limitOf(typed.dollars);
  if (concurrency !== muster.max_concurrency) change.max_concurrency = concurrency;
  if (tokens !== muster.budget.max_tokens_total) change.max_tokens_total = tokens;
  if (dollars !== muster.budget.max_cost) change.max_cost = dollars;
  return change;
}

/** The limit in a field; null when it is empty. */
export function limitOf(text: string): number | null {
  return text.trim() === "" ? null : Number(text);
}

const textOf = (limit: number | null) => (limit === null ? "" : String(limit));
