import { limitOf } from "./limits.ts";

/** What a new batch is asked for beside its tasks, as it stands in the fields. */
export interface Options {
  concurrency: string;
  window: string;
  tokens: string;
  dollars: string;
  dedupe: boolean;
  pool: boolean;
}

export const NO_OPTIONS: Options = {
  concurrency: "",
  window: "",
  tokens: "",
  dollars: "",
  dedupe: false,
  pool: false,
};

/** The options as `POST /v1/batches` takes them; what was left empty is not said. */
export function requestOf(options: Options) {
  const { concurrency, window, tokens, dollars, dedupe, pool } = options;
  return {
    completion_window: window.trim() || "24h",
    max_concurrency: limitOf(concurrency) ?? undefined,
    max_tokens_total: limitOf(tokens) ?? undefined,
    max_cost: limitOf(dollars) ?? undefined,
    dedupe,
    pool,
  };
}
