/** Any JSON value, read without knowing its shape: a missing property of anything is undefined. */
type Loose = { readonly [key: string]: Loose } | null | undefined;

/** Tokens of one call, named as in an OpenAI batch's `usage`. */
export interface Usage {
  input_tokens: number;
  /** The part of `input_tokens` that came from the upstream's prompt cache. */
  cached_tokens: number;
  output_tokens: number;
  /** The part of `output_tokens` that was spent on reasoning. */
  reasoning_tokens: number;
}

/**
 * The tokens that an upstream's answer says it used, or undefined when it says nothing. Chat
 * completions, completions and embeddings say `prompt_tokens` and `completion_tokens`, responses
 * say `input_tokens` and `output_tokens`; the cached and reasoning parts are in `…_details`. An
 * answer with no more than `total_tokens` used them as input. What is not a number ≥ 0 is ignored;
 * any body is accepted.
 */
export function readUsage(body: unknown): Usage | undefined {
  const usage = (body as Loose)?.usage;
  const input = firstCount(usage?.prompt_tokens, usage?.input_tokens);
  const output = firstCount(usage?.completion_tokens, usage?.output_tokens);
  const total = firstCount(usage?.total_tokens);
  if (input === undefined && output === undefined && total === undefined) return undefined;
  return {
    input_tokens: input ?? Math.max(0, (total ?? 0) - (output ?? 0)),
    cached_tokens:
      firstCount(
        usage?.prompt_tokens_details?.cached_tokens,
        usage?.input_tokens_details?.cached_tokens,
      ) ?? 0,
    output_tokens: output ?? 0,
    reasoning_tokens:
      firstCount(
        usage?.completion_tokens_details?.reasoning_tokens,
        usage?.output_tokens_details?.reasoning_tokens,
      ) ?? 0,
  };
}

function firstCount(...candidates: unknown[]): number | undefined {
  const found = candidates.find(
    (value): value is number => typeof value === "number" && value >= 0 && value <= MOST_TOKENS,
  );
  return found === undefined ? undefined : Math.round(found);
}

/** More than any call can use: sums of such counts over a batch stay exact. */
const MOST_TOKENS = 1e9;
