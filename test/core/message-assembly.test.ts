import Anthropic from "@anthropic-ai/sdk";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CompletionStream, type StreamEnd } from "../../src/core/completion-stream.ts";

type Event = Anthropic.RawMessageStreamEvent;

type Said = { type: string; [member: string]: unknown };

const event = (said: Said | Event) => `event: ${said.type}\ndata: ${JSON.stringify(said)}\n\n`;

function read(events: readonly (Said | Event)[], maxChars = 100_000): StreamEnd {
  const stream = new CompletionStream(maxChars);
  for (const one of events) stream.push(event(one));
  return stream.end();
}

function messageOf(end: StreamEnd): Anthropic.Message {
  if (end.kind !== "whole") throw new Error(JSON.stringify(end));
  return JSON.parse(end.text);
}

const USAGE = {
  cache_creation: null,
  cache_creation_input_tokens: 1,
  cache_read_input_tokens: null,
  inference_geo: null,
  input_tokens: 10,
  output_tokens: 1,
  output_tokens_details: null,
  server_tool_use: null,
  service_tier: "standard" as const,
  speed: null,
};
const START: Event = {
  type: "message_start",
  message: {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "claude",
    content: [],
    container: null,
    diagnostics: null,
    stop_details: null,
    stop_reason: null,
    stop_sequence: null,
    usage: USAGE,
  },
};
const STOP: Event = { type: "message_stop" };
const end = (stop_reason: Anthropic.StopReason, output_tokens: number): Event => ({
  type: "message_delta",
  delta: { container: null, stop_details: null, stop_reason, stop_sequence: null },
  usage: {
    cache_creation_input_tokens: null,
    cache_read_input_tokens: 7,
    input_tokens: null,
    output_tokens,
    output_tokens_details: null,
    server_tool_use: null,
  },
});
const text = (index: number, ...parts: string[]): Event[] => [
  {
    type: "content_block_start",
    index,
    content_block: { type: "text", text: "", citations: null },
  },
  ...parts.map(
    (part): Event => ({
      type: "content_block_delta",
      index,
      delta: { type: "text_delta", text: part },
    }),
  ),
  { type: "content_block_stop", index },
];
const tool = (index: number, ...parts: string[]): Event[] => [
  {
    type: "content_block_start",
    index,
    content_block: {
      type: "tool_use",
      id: `t${index}`,
      name: "f",
      input: {},
      caller: { type: "direct" },
    },
  },
  ...parts.map(
    (partial_json): Event => ({
      type: "content_block_delta",
      index,
      delta: { type: "input_json_delta", partial_json },
    }),
  ),
  { type: "content_block_stop", index },
];
const thinking = (index: number, ...parts: string[]): Event[] => [
  {
    type: "content_block_start",
    index,
    content_block: { type: "thinking", thinking: "", signature: "" },
  },
  ...parts.map(
    (part): Event => ({
      type: "content_block_delta",
      index,
      delta: { type: "thinking_delta", thinking: part, estimated_tokens: null } as never,
    }),
  ),
  { type: "content_block_delta", index, delta: { type: "signature_delta", signature: "sig" } },
  { type: "content_block_stop", index },
];

/** The message that the official client puts together. */
async function officially(events: readonly Event[]): Promise<Anthropic.Message> {
  const client = new Anthropic({
    apiKey: "k",
    fetch: async () =>
      new Response(events.map(event).join(""), {
        headers: { "content-type": "text/event-stream" },
      }),
  });
  return client.messages.stream({ model: "claude", max_tokens: 1, messages: [] }).finalMessage();
}

describe("a streamed message", () => {
  test("is the message that the official client makes of it", async () => {
    const parts = fc.array(fc.string({ unit: "grapheme" }), { maxLength: 4 });
    const json = fc.array(fc.jsonValue(), { maxLength: 3 }).map((list) => {
      const whole = JSON.stringify({ list });
      return [whole.slice(0, 3), whole.slice(3, 8), whole.slice(8)];
    });
    const block = fc.oneof(
      parts.map((said) => ({ kind: "text" as const, said })),
      parts.map((said) => ({ kind: "thinking" as const, said })),
      json.map((said) => ({ kind: "tool" as const, said })),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(block, { minLength: 1, maxLength: 4 }), async (blocks) => {
        const make = { text, thinking, tool };
        const events = [
          START,
          ...blocks.flatMap(({ kind, said }, index) => make[kind](index, ...said)),
          end("end_turn", 25),
          STOP,
        ];
        const theirs = JSON.stringify(await officially(events), (name, value) =>
          // The client's own.
          name === "_request_id" || name === "parsed_output" ? undefined : value,
        );
        expect(messageOf(read(events))).toEqual(JSON.parse(theirs));
      }),
      { numRuns: 50 },
    );
  });

  test("counts what it used as a whole, told at its end", () => {
    const message = messageOf(read([START, ...text(0, "Hi"), end("max_tokens", 25), STOP]));
    expect(message.stop_reason).toBe("max_tokens");
    expect(message.usage).toMatchObject({
      input_tokens: 10,
      output_tokens: 25,
      cache_read_input_tokens: 7,
      cache_creation_input_tokens: 1,
    });
  });

  test("keeps citations, and deltas of kinds that nobody knows yet", () => {
    const [begin = START, ...rest] = text(0, "a");
    const events = [
      START,
      begin,
      {
        type: "content_block_delta",
        index: 0,
        delta: { type: "citations_delta", citation: { n: 1 } },
      },
      {
        type: "content_block_delta",
        index: 0,
        delta: { type: "citations_delta", citation: { n: 2 } },
      },
      { type: "content_block_delta", index: 0, delta: { type: "new_delta", note: "x", list: [1] } },
      { type: "content_block_delta", index: 0, delta: { type: "new_delta", note: "y", list: [2] } },
      ...rest,
      end("end_turn", 1),
      STOP,
    ];
    expect(messageOf(read(events)).content).toEqual([
      { type: "text", text: "a", citations: [{ n: 1 }, { n: 2 }], note: "xy", list: [1, 2] },
    ]);
  });

  test("keeps numbers as they were written, those of a tool's input too", () => {
    const parts = ['{"n":1234567890', '1234567890,"d":1.10', "}"];
    const whole = read([START, ...tool(0, ...parts), end("tool_use", 1), STOP]);
    expect(whole).toMatchObject({
      text: expect.stringContaining('"input":{"n":12345678901234567890,"d":1.1'),
    });
  });

  test("has an empty input where the tokens ended in the middle of it", () => {
    const message = messageOf(read([START, ...tool(0, '{"a":'), end("max_tokens", 1), STOP]));
    expect(message).toMatchObject({ content: [{ input: {} }], stop_reason: "max_tokens" });
  });

  test("is cut when it ends before message_stop", () => {
    const events = [START, ...text(0, "Hel", "lo"), end("end_turn", 3)];
    for (let count = 0; count <= events.length; count += 1) {
      expect(read(events.slice(0, count)).kind).toBe("cut");
    }
  });

  test("is an error when one comes in the middle, with its status", () => {
    const error = { type: "overloaded_error", message: "Overloaded" };
    expect(read([START, ...text(0, "Hel"), { type: "error", error }, STOP])).toEqual({
      kind: "failed",
      error: { message: "Overloaded", status: 529, body: { error } },
    });
  });

  test("is too large when it is", () => {
    expect(read([START, ...text(0, "x".repeat(60), "y".repeat(60)), STOP], 100).kind).toBe(
      "too_large",
    );
  });

  test("begins with its first delta, not with its pings", () => {
    const stream = new CompletionStream(1_000);
    stream.push(event(START) + event({ type: "ping" }));
    expect(stream.begun).toBe(false);
    for (const one of text(0, "a").slice(0, 2)) stream.push(event(one));
    expect(stream.begun).toBe(true);
  });
});
