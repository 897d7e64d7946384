import { completionUsage, createdAt } from "./answers.ts";
import type { Answered, Call } from "./call.ts";
import type { Draft } from "./draft.ts";
import { piecesOf } from "./pieces.ts";
import type { ModelRequest } from "./requests.ts";

export const eventStream = "text/event-stream; charset=utf-8";

/** The server-sent events of a streamed chat completion, the last of them `[DONE]`. */
export function chatEvents(request: ModelRequest, draft: Draft): string[] {
  const events: string[] = [];
  const each = (delta: object, finishReason: "stop" | "length" | null = null): void => {
    for (let index = 0; index < request.choices; index += 1) {
      const choice = { index, delta, logprobs: null, finish_reason: finishReason };
      events.push(chunk(request, [choice]));
    }
  };
  each({ role: "assistant", content: "", refusal: null });
  for (const content of piecesOf(draft.text)) each({ content });
  each({}, draft.cut ? "length" : "stop");
  if (request.includeUsage) events.push(chunk(request, [], completionUsage(draft)));
  events.push("data: [DONE]\n\n");
  return events;
}

/** Streams events spread evenly over the call's latency; the headers go at once. */
export function streamEvents(call: Call, events: readonly string[], answered: Answered): void {
  call.writeHead(200, { "content-type": eventStream, "cache-control": "no-cache" });
  call.response.flushHeaders();
  const stepMs = answered.latencyMs / events.length;
  const next = (at: number, owedMs: number): void => {
    // Timers wait whole milliseconds: what rounding leaves is carried on to the next one.
    const waitMs = Math.floor(owedMs);
    call.after(waitMs, () => {
      const event = events[at] ?? "";
      if (at < events.length - 1) {
        call.response.write(event);
        next(at + 1, owedMs - waitMs + stepMs);
      } else {
        call.finish(event, answered);
      }
    });
  };
  next(0, stepMs);
}

function chunk(request: ModelRequest, choices: object[], usage?: object): string {
  const event = {
    id: `chatcmpl-${request.digest}`,
    object: "chat.completion.chunk",
    created: createdAt,
    model: request.model,
    service_tier: "default",
    choices,
    ...(request.includeUsage ? { usage: usage ?? null } : {}),
  };
  return `data: ${JSON.stringify(event)}\n\n`;
}
