import type { BatchObject } from "../../wire/batch.ts";

/** A batch's own limits, as they stand in fields; "" is none. */
export interface LimitTexts {
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
export function textsOf({ muster }: BatchObject): LimitTexts {
  return {
    concurrency: textOf(muster.max_concurrency),
    tokens: textOf(muster.budget.max_tokens_total),
    dollars: textOf(muster.budget.max_cost),
  };
}

/** What to send of those that somebody typed: others may have changed the rest meanwhile. */
export function changesOf({ concurrency, tokens, dollars }: Partial<LimitTexts>): LimitChange {
  const change: LimitChange = {};
  if (concurrency !== undefined) change.max_concurrency = limitOf(concurrency);
  if (tokens !== undefined) change.max_tokens_total = limitOf(tokens);
  if (dollars !== undefined) change.max_cost = limitOf(dollars);
  return change;
}

/** The limit in a field; null when it is empty. */
export function limitOf(text: string): number | null {
  return text.trim() === "" ? null : Number(text);
}

const textOf = (limit: number | null) => (limit === null ? "" : String(limit));
