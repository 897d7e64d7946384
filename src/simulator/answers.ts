import { digestText, type Endpoint, textOf } from "./digest.ts";
import type { Draft } from "./draft.ts";
import { embed } from "./embeddings.ts";
import { messageObject } from "./message.ts";
import type { ModelRequest } from "./requests.ts";

/** `created` of every answer, in Unix seconds: a clock would make equal calls answer differently. */
export const createdAt = 1_750_000_000;

/**
 * The answer to a request, in the shape its endpoint has at OpenAI or Anthropic. Every id ends in the prompt's
 * digest; embeddings have an id too, which OpenAI's have not, so that they carry it as well.
 */
export function answerObject(request: ModelRequest, draft: Draft, seed: number): object {
  return shapes[request.endpoint](request, draft, seed);
}

const shapes: Record<Endpoint, (request: ModelRequest, draft: Draft, seed: number) => object> = {
  "/v1/chat/completions": (request, draft) => ({
    id: `chatcmpl-${request.digest}`,
    object: "chat.completion",
    created: createdAt,
    model: request.model,
    choices: Array.from({ length: request.choices }, (_, index) => ({
      index,
      message: { role: "assistant", content: draft.text, refusal: null },
      logprobs: null,
      finish_reason: finishReason(draft),
    })),
    usage: completionUsage(draft),
    service_tier: "default",
  }),

  "/v1/completions": (request, draft) => ({
    id: `cmpl-${request.digest}`,
    object: "text_completion",
    created: createdAt,
    model: request.model,
    choices: [{ text: draft.text, index: 0, logprobs: null, finish_reason: finishReason(draft) }],
    usage: completionUsage(draft),
  }),

  "/v1/responses": (request, draft) => ({
    id: `resp_${request.digest}`,
    object: "response",
    created_at: createdAt,
    status: draft.cut ? "incomplete" : "completed",
    error: null,
    incomplete_details: draft.cut ? { reason: "max_output_tokens" } : null,
    instructions: null,
    max_output_tokens: request.maxTokens ?? null,
    metadata: {},
    model: request.model,
    output: [
      {
        id: `msg_${request.digest}`,
        type: "message",
        status: draft.cut ? "incomplete" : "completed",
        role: "assistant",
        content: [{ type: "output_text", text: draft.text, annotations: [] }],
      },
    ],
    parallel_tool_calls: true,
    previous_response_id: null,
    temperature: 1,
    tool_choice: "auto",
    tools: [],
    top_p: 1,
    truncation: "disabled",
    usage: {
      input_tokens: draft.promptTokens,
      input_tokens_details: { cached_tokens: draft.cachedTokens, cache_write_tokens: 0 },
      output_tokens: draft.completionTokens,
      output_tokens_details: { reasoning_tokens: draft.reasoningTokens },
      total_tokens: draft.promptTokens + draft.completionTokens,
    },
  }),

  "/v1/embeddings": (request, draft, seed) => ({
    id: `embd-${request.digest}`,
    object: "list",
    data: inputTexts(request.input).map((text, index) => ({
      object: "embedding",
      index,
      embedding: embed(digestText(text), seed, request),
    })),
    model: request.model,
    usage: { prompt_tokens: draft.promptTokens, total_tokens: draft.promptTokens },
  }),

  "/v1/moderations": (request) => ({
    id: `modr-${request.digest}`,
    model: request.model,
    results: inputTexts(request.input).map(() => ({
      flagged: false,
      categories: ofEachCategory(false),
      category_applied_input_types: ofEachCategory(["text"]),
      category_scores: ofEachCategory(0.0001),
    })),
  }),

  "/v1/images/generations": imagesObject,
  "/v1/images/edits": imagesObject,

  "/v1/videos": (request) => ({
    id: `video_${request.digest}`,
    object: "video",
    model: request.model,
    prompt: request.prompt,
    status: "queued",
    progress: 0,
    created_at: createdAt,
    completed_at: null,
    expires_at: null,
    error: null,
    remixed_from_video_id: null,
    seconds: "4",
    size: "720x1280",
  }),

  "/v1/messages": messageObject,
};

/** A picture whose bytes are the draft's text: what it was made for can be read off it. */
function imagesObject(_: ModelRequest, draft: Draft): object {
  return {
    created: createdAt,
    data: [{ b64_json: Buffer.from(draft.text).toString("base64") }],
    usage: {
      input_tokens: draft.promptTokens,
      input_tokens_details: { text_tokens: draft.promptTokens, image_tokens: 0 },
      output_tokens: draft.completionTokens,
      total_tokens: draft.promptTokens + draft.completionTokens,
    },
  };
}

function finishReason(draft: Draft): "length" | "stop" {
  return draft.cut ? "length" : "stop";
}

/** The `usage` of chat and text completions. */
export function completionUsage(draft: Draft): object {
  return {
    prompt_tokens: draft.promptTokens,
    completion_tokens: draft.completionTokens,
    total_tokens: draft.promptTokens + draft.completionTokens,
    prompt_tokens_details: { cached_tokens: draft.cachedTokens, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: draft.reasoningTokens, audio_tokens: 0 },
  };
}

/** One text an input. A list of numbers is one input, given as tokens. */
function inputTexts(input: unknown): string[] {
  if (!Array.isArray(input) || typeof input[0] === "number") return [textOf(input)];
  return input.map(textOf);
}

const categories = [
  "harassment",
  "harassment/threatening",
  "hate",
  "hate/threatening",
  "illicit",
  "illicit/violent",
  "self-harm",
  "self-harm/instructions",
  "self-harm/intent",
  "sexual",
  "sexual/minors",
  "violence",
  "violence/graphic",
] as const;

function ofEachCategory<T>(value: T): Record<string, T> {
  return Object.fromEntries(categories.map((name) => [name, value]));
}
