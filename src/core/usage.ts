/** Any JSON value, read without knowing its shape: a missing property of anything is undefined. */
type Loose = { readonly [key: string]: Loose } | null | undefined;

/** Tokens of one call, named and counted as in an OpenAI batch's `usage`. */
export interface Usage {
  /** All input, what came from a cache too. */
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
 * say `input_tokens` and `output_tokens`; the cached and reasoning parts are in `…_details`.
 * Anthropic's messages say `input_tokens` too, but of what neither came from the cache nor went into
 * it: those parts are beside it and are added. An answer with no more than `total_tokens` used them
 * as input. What is not a number ≥ 0 is ignored; any body is accepted.
 */
export function readUsage(body: unknown): Usage | undefined {
  const usage = (body as Loose)?.usage;
  const beside = besideInput(usage);
  const said = firstCount(usage?.prompt_tokens, usage?.input_tokens);
  const input = said === undefined ? undefined : said + beside.read + beside.written;
  const output = firstCount(usage?.completion_tokens, usage?.output_tokens);
  const total = firstCount(usage?.total_tokens);
  if (input === undefined && output === undefined && total === undefined) return undefined;
  return {
    input_tokens: input ?? Math.max(0, (total ?? 0) - (output ?? 0)),
    cached_tokens:
      firstCount(
        usage?.prompt_tokens_details?.cached_tokens,
        usage?.input_tokens_details?.cached_tokens,
      ) ?? beside.read,
    output_tokens: output ?? 0,
    reasoning_tokens:
      firstCount(
        usage?.completion_tokens_details?.reasoning_tokens,
        usage?.output_tokens_details?.reasoning_tokens,
        usage?.output_tokens_details?.thinking_tokens,
      ) ?? 0,
  };
}

/**
 * Input tokens of the prompt cache that `input_tokens` does not hold. Proxies put the same fields
 * beside a `prompt_tokens`, or an `input_tokens` with details, that holds them already.
 */
function besideInput(usage: Loose): { read: number; written: number } {
  if (usage?.prompt_tokens !== undefined || usage?.input_tokens_details) {
    return { read: 0, written: 0 };
  }
  return {
    read: firstCount(usage?.cache_read_input_tokens) ?? 0,
    written: firstCount(usage?.cache_creation_input_tokens) ?? 0,
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
