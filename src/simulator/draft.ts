import { chance, textSalt } from "./chance.ts";
import { dialectOf } from "./digest.ts";
import type { ModelRequest } from "./requests.ts";

/** What an answer says and costs, before it takes an endpoint's shape. */
export interface Draft {
  /** `digest:<16 hex>` and a few sentences. */
  text: string;
  promptTokens: number;
  /** The part of `promptTokens` that came from the prompt cache. */
  cachedTokens: number;
  /** 0 for embeddings and moderations. */
  completionTokens: number;
  /** The part of `completionTokens` that no text shows; models named like OpenAI's `o3` have one. */
  reasoningTokens: number;
  /** The answer met the request's limit on tokens. */
  cut: boolean;
}

const sentences = [
  "The request was read twice before it was answered.",
  "Both readings lead to the same conclusion.",
  "A smaller example shows why this holds.",
  "The remaining cases follow in the same way.",
  "Nothing in the input speaks against it.",
  "Taken together, the evidence is consistent.",
  "One exception is worth mentioning here.",
  "Further detail would not change the result.",
] as const;

const withoutText = new Set(["/v1/embeddings", "/v1/moderations"]);
const REASONING_TOKENS = 64;
/** OpenAI's cache takes prompts from 1,024 tokens on, in steps of 128. It is always warm here. */
const CACHED_FROM_TOKENS = 1_024;
const CACHE_STEP_TOKENS = 128;

/** Writes the answer of a request: a function of seed, prompt and model alone. */
export function draftAnswer(request: ModelRequest, seed: number): Draft {
  const { endpoint, digest, model, prompt, cachedText, maxTokens } = request;
  const promptTokens = countTokens(prompt);
  const marked = cachedText === "" ? 0 : Math.min(promptTokens, countTokens(cachedText));
  const long = promptTokens - (promptTokens % CACHE_STEP_TOKENS);
  const byLength = dialectOf(endpoint) === "openai" && promptTokens >= CACHED_FROM_TOKENS;
  const input = { promptTokens, cachedTokens: byLength ? long : marked };
  if (withoutText.has(endpoint)) {
    return { text: "", ...input, completionTokens: 0, reasoningTokens: 0, cut: false };
  }
  const salt = textSalt(model);
  const start = Math.floor(chance(digest, seed, salt ^ 0x7465) * sentences.length);
  const length = 1 + Math.floor(chance(digest, seed, salt ^ 0x7874) * 6);
  const opening = `digest:${digest}`;
  let text = opening;
  for (let n = 0; n < length; n++) text += ` ${sentences[(start + n * 3) % sentences.length]}`;
  const reasoningTokens = /^o\d/.test(model) ? REASONING_TOKENS : 0;
  const completionTokens = reasoningTokens + countTokens(text);
  if (maxTokens === undefined || completionTokens <= maxTokens) {
    return { text, ...input, completionTokens, reasoningTokens, cut: false };
  }
  // The digest stays whole: it is how checkers tell whose answer this is.
  const shown = Math.max(0, maxTokens - reasoningTokens);
  const kept = text.slice(0, Math.max(opening.length, shown * 4));
  const hidden = Math.min(reasoningTokens, maxTokens);
  return {
    text: kept,
    ...input,
    completionTokens: maxTokens,
    reasoningTokens: hidden,
    cut: true,
  };
}

/** Tokens of a text, at four characters a token; at least one. */
function countTokens(text: string): number {
  return Math.max(1, Math.ceil(text.length / 4));
}
