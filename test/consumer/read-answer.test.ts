import { describe, expect, test } from "vitest";
import { MAX_ANSWER_BYTES, readAnswer } from "../../src/consumer/read-answer.ts";
import { type Listener, Silence } from "../../src/consumer/read-stream.ts";

function listener(grown: number[] = []): Listener {
  return {
    silence: new Silence(60_000, () => undefined),
    read: () => undefined,
    grown: (chars) => {
      grown.push(chars);
      return undefined;
    },
  };
}

const read = (text: string, init: ResponseInit = {}, grown: number[] = []) =>
  readAnswer(new Response(text, init), listener(grown), Date.now);

const EVENTS = [
  { choices: [{ index: 0, delta: { content: "Hello" }, finish_reason: "stop" }] },
  { choices: [], usage: { total_tokens: 1 } },
];
const STREAM = `${EVENTS.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")}data: [DONE]\n\n`;
const AS_STREAM = { headers: { "content-type": "text/event-stream; charset=utf-8" } };

describe("an answer", () => {
  test("is its text and what that means", async () => {
    expect(await read('{"a":1}')).toEqual({ text: '{"a":1}', json: { a: 1 } });
    expect(await read("null")).toEqual({ text: "null", json: null });
  });

  test("in a stream is put together, whether it says that it is one or not", async () => {
    for (const init of [AS_STREAM, { headers: { "content-type": "text/plain" } }, {}]) {
      expect(await read(STREAM, init)).toMatchObject({
        json: { choices: [{ message: { content: "Hello" } }] },
      });
    }
  });

  test("that is neither is none", async () => {
    expect(await read("<html>")).toMatchObject({ code: "invalid_response" });
    expect(await read("data: <html>\n\n")).toMatchObject({ code: "truncated_response" });
    expect(await read("", AS_STREAM)).toMatchObject({ code: "truncated_response" });
  });

  test("is measured in bytes, put together too", async () => {
    const text = "語".repeat(MAX_ANSWER_BYTES / 3);
    const delta = { choices: [{ index: 0, delta: { content: text }, finish_reason: "stop" }] };
    const stream = `data: ${JSON.stringify(delta)}\n\ndata: [DONE]\n\n`;
    expect(await read(JSON.stringify(text))).toMatchObject({ code: "response_too_large" });
    expect(await read(stream, AS_STREAM)).toMatchObject({ code: "response_too_large" });
  });

  test("tells how it grows", async () => {
    const grown: number[] = [];
    await read(STREAM, AS_STREAM, grown);
    await read('{"a":1}', {}, grown);
    expect(grown.filter((chars) => chars > 0)).toEqual(["Hello".length, '{"a":1}'.length]);
  });
});

describe("an error", () => {
  test("is kept whole while it is JSON of a bearable length", async () => {
    const text = JSON.stringify({ error: { message: "x".repeat(500_000) } });
    expect(await read(text, { status: 400 })).toEqual({ text, json: JSON.parse(text) });
  });

  test.each([
    ["that is a page", `<p>${"x".repeat(500_000)}`],
    ["longer than a row", "x".repeat(MAX_ANSWER_BYTES + 1)],
    ["longer than a row, though it is JSON", JSON.stringify("x".repeat(MAX_ANSWER_BYTES))],
  ])("%s is cut, and its status still says what it means", async (_, text) => {
    const body = await read(text, { status: 503 });
    expect(body).toMatchObject({ json: undefined });
    expect("text" in body && body.text.length).toBe(100_000);
  });

  test("in a stream's clothes is an error all the same", async () => {
    expect(await read(STREAM, { ...AS_STREAM, status: 500 })).toMatchObject({ json: undefined });
  });
});
