/** Any JSON value, read without knowing its shape: a missing property of anything is undefined. */
type Loose = { readonly [key: string]: Loose } | null | undefined;

/** Where calls of the OpenAI and Anthropic endpoints keep what the model reads. */
const INPUT_FIELDS = ["messages", "input", "prompt", "instructions", "system", "tools"];
const OUTPUT_FIELDS = ["max_completion_tokens", "max_tokens", "max_output_tokens"];
const COMPLETIONS = /\/v1\/completions$/;
const WITHOUT_OUTPUT = /\/(?:embeddings|moderations)$/;

/** "1 token ~= 4 chars in English": OpenAI Help, "What are tokens and how to count them?". */
const LATIN_CHARACTERS_PER_TOKEN = 4;
/** Past Latin Extended-B; CJK, Cyrillic, Arabic, emoji and the rest have longer encodings. */
const FIRST_NON_LATIN = 0x250;

/** Strings under these keys are addresses or base64, whose length says nothing of their tokens. */
const MEDIA_KEYS = new Set(["url", "image_url", "file_url", "data", "file_data"]);
/** A 1024 × 1024 image in high detail, by OpenAI's vision guide: 4 tiles × 170 + 85. */
const MEDIA_TOKENS = 765;

const SAMPLE_WINDOWS = 16;
const SAMPLE_WINDOW_LENGTH = 256;

/** Tokens one call is expected to take. */
export interface Estimate {
  /** Of what the model reads: an integer. */
  inputTokens: number;
  /** What the body allows it to write, for all of its answers; null when it says nothing. */
  outputTokens: number | null;
}

/**
 * Tokens of one call: the input by its length, the output by what the body allows. A rule of thumb
 * and no tokenizer, since every model has its own: about 4 characters of Latin text a token, about 1 of any other script (BPE
 * vocabularies are trained mostly on English, so a CJK character is 0.7 to 1.5 tokens). Reserved
 * tokens are settled by the usage that comes back, so a wrong estimate lasts one call.
 *
 * Field names count as text: they stand for the few tokens of framing that each message costs.
 * An image, sound or file is a flat 765 tokens, whatever its size. Any value is accepted; what is
 * unreadable counts as nothing.
 */
export function estimateCall(endpoint: string, body: unknown): Estimate {
  const output = outputTokens(endpoint, body);
  return {
    inputTokens: whole(inputTokens(body)),
    outputTokens: output === undefined ? null : whole(output),
  };
}

/** All of an estimate together, an integer ≥ 1. A body without an output allowance counts none. */
export function tokensOf({ inputTokens, outputTokens }: Estimate): number {
  return Math.max(1, whole(inputTokens + (outputTokens ?? 0)));
}

/** As {@link tokensOf}, of a body. */
export function estimateTokens(endpoint: string, body: unknown): number {
  return tokensOf(estimateCall(endpoint, body));
}

/** What an answer is assumed to have where its request does not say, and none was seen yet. */
export const ASSUMED_OUTPUT_TOKENS = 300;

/**
 * Tokens to reserve of a quota for a call: what the model reads, and what it is likely to write. That
 * is what its answers had in the mean, and no more than the body allows: reserving all that is
 * allowed would leave most of a quota unused while answers are under way.
 *
 * @param meanOutput tokens of the model's latest answers; null while there was none.
 */
export function tokensToReserve(
  { inputTokens, outputTokens }: Estimate,
  meanOutput: number | null,
): number {
  const likely = meanOutput ?? outputTokens ?? ASSUMED_OUTPUT_TOKENS;
  return Math.max(1, whole(inputTokens + Math.min(outputTokens ?? likely, likely)));
}

/** How much the latest answer weighs in the mean. */
const LATEST_ANSWER = 0.05;

/** The mean length of answers after `calls` more, which had `outputTokens` in all. */
export function meanOutputAfter(
  mean: number | null,
  { calls, outputTokens }: { calls: number; outputTokens: number },
): number | null {
  if (calls === 0) return mean;
  const latest = outputTokens / calls;
  if (mean === null) return latest;
  return mean + (latest - mean) * (1 - (1 - LATEST_ANSWER) ** calls);
}

function whole(tokens: number): number {
  return Math.min(Math.ceil(tokens), Number.MAX_SAFE_INTEGER);
}

function inputTokens(body: unknown): number {
  const call = body as Loose;
  let latin = 0;
  let tokens = 0;
  const countText = (text: string) => {
    const nonLatin = countNonLatin(text);
    latin += text.length - nonLatin;
    tokens += nonLatin;
  };
  // A stack of our own, because a parsed body can be nested deeper than calls can.
  const rest: unknown[] = INPUT_FIELDS.map((field) => call?.[field]);
  while (rest.length > 0) {
    const value = rest.pop();
    if (typeof value === "string") countText(value);
    else if (typeof value === "number") tokens += 1;
    else if (Array.isArray(value)) for (const element of value) rest.push(element);
    else if (typeof value === "object" && value !== null) {
      for (const [key, member] of Object.entries(value)) {
        countText(key);
        if (typeof member === "string" && MEDIA_KEYS.has(key)) tokens += MEDIA_TOKENS;
        else rest.push(member);
      }
    }
  }
  return tokens + latin / LATIN_CHARACTERS_PER_TOKEN;
}

function outputTokens(endpoint: string, body: unknown): number | undefined {
  if (WITHOUT_OUTPUT.test(endpoint)) return 0;
  const call = body as Loose;
  const allowance = OUTPUT_FIELDS.map((field) => amount(call?.[field])).find(
    (tokens) => tokens !== undefined,
  );
  return allowance === undefined ? undefined : allowance * answers(endpoint, call);
}

/**
 * Answers that one call has written. By OpenAI's reference a completion has `best_of` of them
 * written, of which `n` are shown, for each of its prompts.
 */
function answers(endpoint: string, call: Loose): number {
  const shown = Math.max(1, amount(call?.n) ?? 1);
  if (!COMPLETIONS.test(endpoint)) return shown;
  return Math.max(shown, amount(call?.best_of) ?? 1) * prompts(call?.prompt);
}

/** Prompts of a completion: a text or a list of tokens is one, a list of either as many as it has. */
function prompts(prompt: unknown): number {
  if (!Array.isArray(prompt) || typeof prompt[0] === "number") return 1;
  return Math.max(1, prompt.length);
}

function amount(value: unknown): number | undefined {
  if (typeof value !== "number" || !(value >= 0)) return undefined;
  // JSON can say 1e999, and infinitely many times nothing would be no number.
  return Math.min(value, Number.MAX_SAFE_INTEGER);
}

/** UTF-16 units outside the Latin blocks; of a long text, 16 windows speak for the whole. */
function countNonLatin(text: string): number {
  const sampled = SAMPLE_WINDOWS * SAMPLE_WINDOW_LENGTH;
  if (text.length <= sampled) return countNonLatinIn(text, 0, text.length);
  const stride = (text.length - SAMPLE_WINDOW_LENGTH) / (SAMPLE_WINDOWS - 1);
  let found = 0;
  for (let window = 0; window < SAMPLE_WINDOWS; window += 1) {
    const start = Math.floor(window * stride);
    found += countNonLatinIn(text, start, start + SAMPLE_WINDOW_LENGTH);
  }
  return Math.round((found / sampled) * text.length);
}

function countNonLatinIn(text: string, start: number, end: number): number {
  let found = 0;
  for (let at = start; at < end; at += 1) {
    if (text.charCodeAt(at) >= FIRST_NON_LATIN) found += 1;
  }
  return found;
}
