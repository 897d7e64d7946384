import type { Draft } from "./draft.ts";
import { piecesOf } from "./pieces.ts";
import type { ModelRequest } from "./requests.ts";

/** The answer to `/v1/messages`, in the shape it has at Anthropic. */
export function messageObject(request: ModelRequest, draft: Draft): object {
  return {
    ...opening(request),
    content: [{ type: "text", text: draft.text, citations: null }],
    stop_reason: stopReason(draft),
    usage: usageOf(draft, draft.completionTokens),
  };
}

/** The server-sent events of a streamed message. */
export function messageEvents(request: ModelRequest, draft: Draft): string[] {
  const message = { ...opening(request), content: [], stop_reason: null, usage: usageOf(draft, 1) };
  const events = [
    messageEvent("message_start", { message }),
    messageEvent("content_block_start", {
      index: 0,
      content_block: { type: "text", text: "", citations: null },
    }),
    messageEvent("ping", {}),
  ];
  for (const text of piecesOf(draft.text)) {
    events.push(
      messageEvent("content_block_delta", { index: 0, delta: { type: "text_delta", text } }),
    );
  }
  events.push(
    messageEvent("content_block_stop", { index: 0 }),
    messageEvent("message_delta", {
      delta: {
        stop_reason: stopReason(draft),
        stop_sequence: null,
        stop_details: null,
        container: null,
      },
      usage: usageOf(draft, draft.completionTokens),
    }),
    messageEvent("message_stop", {}),
  );
  return events;
}

function opening(request: ModelRequest): object {
  return {
    id: `msg_${request.digest}`,
    type: "message",
    role: "assistant",
    model: request.model,
    container: null,
    diagnostics: null,
    stop_details: null,
    stop_sequence: null,
  };
}

function stopReason(draft: Draft): "max_tokens" | "end_turn" {
  return draft.cut ? "max_tokens" : "end_turn";
}

/** `input_tokens` is what did not come from the cache, unlike OpenAI's `prompt_tokens`. */
function usageOf(draft: Draft, outputTokens: number): object {
  return {
    input_tokens: draft.promptTokens - draft.cachedTokens,
    output_tokens: outputTokens,
    cache_read_input_tokens: draft.cachedTokens,
    cache_creation_input_tokens: 0,
    cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
    inference_geo: null,
    output_tokens_details: null,
    server_tool_use: null,
    service_tier: "standard",
    speed: null,
  };
}

/** One server-sent event of a message. */
export function messageEvent(type: string, content: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...content })}\n\n`;
}
