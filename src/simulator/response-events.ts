import type { Draft } from "./draft.ts";
import { piecesOf } from "./pieces.ts";
import type { ModelRequest } from "./requests.ts";

/** The server-sent events of a streamed response; the last one has the whole of it. */
export function responseEvents(response: object, request: ModelRequest, draft: Draft): string[] {
  const id = `msg_${request.digest}`;
  const at = { item_id: id, output_index: 0, content_index: 0 };
  const item = { id, type: "message", status: "in_progress", role: "assistant", content: [] };
  const part = { type: "output_text", text: draft.text, annotations: [] };
  const status = draft.cut ? "incomplete" : "completed";
  const begun = { ...response, status: "in_progress", output: [], usage: null };
  const events: [type: string, content: object][] = [
    ["response.created", { response: begun }],
    ["response.output_item.added", { output_index: 0, item }],
    ["response.content_part.added", { ...at, part: { ...part, text: "" } }],
    ...piecesOf(draft.text).map((delta): [string, object] => [
      "response.output_text.delta",
      { ...at, delta, logprobs: [] },
    ]),
    ["response.output_text.done", { ...at, text: draft.text, logprobs: [] }],
    ["response.content_part.done", { ...at, part }],
    ["response.output_item.done", { output_index: 0, item: { ...item, status, content: [part] } }],
    [`response.${status}`, { response }],
  ];
  return events.map(([type, content], sequence_number) => {
    const data = { type, ...content, sequence_number };
    return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
  });
}
