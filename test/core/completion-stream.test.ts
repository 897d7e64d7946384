import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CompletionStream, type StreamEnd } from "../../src/core/completion-stream.ts";

const MAX_CHARS = 10_000;

const event = (data: unknown, name?: string) =>
  `${name === undefined ? "" : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;
const delta = (content: string) => event({ choices: [{ index: 0, delta: { content } }] });
const STOP = event({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
const USAGE = event({ choices: [], usage: { total_tokens: 3 } });
const DONE = "data: [DONE]\n\n";
const WHOLE = [delta("Hel"), delta("lo"), STOP, USAGE, DONE];

/** What parts of a stream come to. */
function read(...parts: string[]): StreamEnd {
  const stream = new CompletionStream(MAX_CHARS);
  for (const text of parts) stream.push(text);
  return stream.end();
}

function contentOf(end: StreamEnd): unknown {
  if (end.kind !== "whole") return end;
  return JSON.parse(end.text).choices[0].message.content;
}

describe("a chat stream", () => {
  test("is the completion, wherever it is cut into parts", () => {
    const text = WHOLE.join("");
    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), text.length];
        const parts = places.slice(1).map((to, index) => text.slice(places[index], to));
        expect(contentOf(read(...parts))).toBe("Hello");
      }),
    );
  });

  test("may have CRLF, comments, pings, events without data and no last blank line", () => {
    const text = `\uFEFF: hi\r\n\r\n${event({ type: "ping" }, "ping")}event: x\n\n${WHOLE.join("")}`;
    expect(contentOf(read(text.replaceAll("\n", "\r\n").trimEnd()))).toBe("Hello");
  });

  test("keeps numbers as they were written", () => {
    const long = 'data: {"choices":[],"seed":12345678901234567890}\n\n';
    expect(read(long, ...WHOLE)).toMatchObject({
      text: expect.stringContaining('"seed":12345678901234567890'),
    });
  });

  test("is cut when it ends anywhere before its usage or [DONE]", () => {
    for (let count = 0; count < WHOLE.length - 2; count += 1) {
      expect(read(...WHOLE.slice(0, count)).kind).toBe("cut");
    }
    expect(contentOf(read(...WHOLE.slice(0, -1)))).toBe("Hello");
    expect(contentOf(read(delta("Hello"), STOP, DONE))).toBe("Hello");
  });

  test("is cut when it is done, but one of its choices is not", () => {
    const second = event({ choices: [{ index: 1, delta: { content: "a" } }] });
    expect(read(delta("a"), second, STOP, USAGE, DONE).kind).toBe("cut");
    expect(read(delta("a"), USAGE, DONE).kind).toBe("cut");
    expect(read(DONE).kind).toBe("cut");
  });

  test("is cut when the end of an event is missing", () => {
    expect(read(delta("a"), STOP.slice(0, -10)).kind).toBe("cut");
    expect(read("data: not json\n\n", ...WHOLE)).toEqual({
      kind: "cut",
      why: "one of its events is not JSON",
    });
  });

  test("says nothing more after [DONE]", () => {
    const stream = new CompletionStream(MAX_CHARS);
    for (const text of WHOLE) stream.push(text);
    expect(stream.over).toBe(true);
    stream.push(delta("more"));
    expect(contentOf(stream.end())).toBe("Hello");
  });

  test("has begun with the first text, whichever member it is of", () => {
    const begun = (first: object) => {
      const stream = new CompletionStream(MAX_CHARS);
      stream.push(event({ choices: [{ index: 0, delta: first }] }));
      return stream.begun;
    };
    expect(begun({ role: "assistant", content: "", refusal: null })).toBe(false);
    expect(begun({ content: "a" })).toBe(true);
    expect(begun({ reasoning_content: "a" })).toBe(true);
    expect(begun({ tool_calls: [{ index: 0, id: "a", function: { name: "f" } }] })).toBe(true);
  });

  test("is too large when its texts are longer than allowed, and is read no further", () => {
    const stream = new CompletionStream(1_000);
    for (let count = 0; count < 10; count += 1) stream.push(delta("x".repeat(100)));
    expect(stream.over).toBe(false);
    stream.push(delta("x"));
    expect(stream.over).toBe(true);
    expect(stream.end()).toEqual({ kind: "too_large" });
  });

  test("is too large when one event has no end", () => {
    const stream = new CompletionStream(1_000);
    for (let count = 0; count < 20 && !stream.over; count += 1)
      stream.push("data: x".repeat(1_000));
    expect(stream.end()).toEqual({ kind: "too_large" });
  });
});

describe("an error in the stream", () => {
  const failure = (...parts: string[]) => {
    const end = read(...parts);
    return end.kind === "failed" ? end.error : end;
  };

  test.each([
    ["as a member", event({ error: { message: "Boom", type: "server_error" } }), undefined],
    ["under its event's name", event({ message: "Boom" }, "error"), undefined],
    ["as words", event({ error: "Boom" }), undefined],
    ["with a status", event({ error: { message: "Boom", code: 502 }, choices: [] }), 502],
    ["with a status in words", event({ error: { message: "Boom", code: "429" } }), 429],
    ["about the rate", event({ error: { message: "Boom", code: "rate_limit_exceeded" } }), 429],
    ["about money", event({ error: { message: "Boom", type: "insufficient_quota" } }), 429],
    ["about load", event({ error: { message: "Boom", type: "overloaded_error" } }), 529],
    ["of a response", event({ type: "error", code: "server_error", message: "Boom" }), undefined],
    [
      "that a response failed with",
      event({ type: "response.failed", response: { error: { code: "x", message: "Boom" } } }),
      undefined,
    ],
  ])("%s ends it", (_, said, status) => {
    expect(failure(delta("a"), said, STOP, USAGE, DONE)).toMatchObject({ message: "Boom", status });
  });

  test("keeps what it said for whoever decides, and not more words than needed", () => {
    const error = { message: "x".repeat(10_000), type: "insufficient_quota" };
    const read = failure(event({ error }));
    expect(read).toMatchObject({ body: { error } });
    expect("message" in read && read.message.length).toBe(500);
    expect(failure(event({ error: { unheard: 1 } }))).toMatchObject({ message: '{"unheard":1}' });
  });

  test("after [DONE] is none", () => {
    expect(contentOf(read(...WHOLE, event({ error: "late" })))).toBe("Hello");
  });
});

describe("a response's stream", () => {
  const body = '{"id":"resp_1", "status":"completed","n":12345678901234567890,"output":[]}';
  const last = (type: string) => `event: ${type}\ndata: {"type":"${type}","response":${body}}\n\n`;

  test.each(["response.completed", "response.incomplete"])("ends with %s", (type) => {
    const text = [
      event({ type: "response.created", response: { id: "resp_1", status: "in_progress" } }),
      event({ type: "response.output_text.delta", delta: "a" }),
    ];
    const stream = new CompletionStream(MAX_CHARS);
    stream.push(text[0] ?? "");
    expect(stream.begun).toBe(false);
    stream.push(text[1] ?? "");
    expect(stream.begun).toBe(true);
    stream.push(last(type));
    expect(stream.over).toBe(true);
    expect(stream.end()).toEqual({ kind: "whole", text: body });
  });

  test("that ends before is cut", () => {
    expect(read(event({ type: "response.output_text.done", text: "a" })).kind).toBe("cut");
  });
});
