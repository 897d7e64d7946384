import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readContent } from "../../src/core/content.ts";

const CHAT = "/v1/chat/completions";

function choice(message: object) {
  return { choices: [{ index: 0, message, finish_reason: "stop" }] };
}

describe("of a chat", () => {
  test("is the first choice's text", () => {
    expect(readContent(CHAT, choice({ role: "assistant", content: "Hello." }))).toBe("Hello.");
    expect(readContent(CHAT, choice({ role: "assistant", content: "" }))).toBe("");
  });

  test("is the tool calls when there is no text", () => {
    const tool_calls = [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }];
    expect(readContent(CHAT, choice({ content: null, tool_calls }))).toEqual(tool_calls);
    expect(readContent(CHAT, choice({ content: "", tool_calls }))).toEqual(tool_calls);
    expect(readContent(CHAT, choice({ content: "Calling.", tool_calls }))).toBe("Calling.");
  });

  test("is the whole body when it was refused", () => {
    const refused = choice({ content: null, refusal: "No.", tool_calls: [] });
    expect(readContent(CHAT, refused)).toBe(refused);
  });
});

describe("of a message", () => {
  const MESSAGES = "/v1/messages";
  const text = (text: string) => ({ type: "text", text, citations: null });
  const use = { type: "tool_use", id: "t", name: "f", input: { at: 1 } };

  test("is its text blocks as one text, without the thinking", () => {
    const thinking = { type: "thinking", thinking: "hm", signature: "s" };
    const body = { type: "message", content: [thinking, text("空は"), text("青い")] };
    expect(readContent(MESSAGES, body)).toBe("空は青い");
  });

  test("is its tool uses when there is no text", () => {
    expect(readContent(MESSAGES, { content: [text(""), use] })).toEqual([use]);
    expect(readContent(MESSAGES, { content: [text("Calling."), use] })).toBe("Calling.");
  });

  test("is the whole body when there is neither", () => {
    for (const body of [{ content: [] }, { content: null }, { type: "message" }]) {
      expect(readContent(MESSAGES, body)).toBe(body);
    }
  });
});

describe("of a completion", () => {
  test("is the first choice's text", () => {
    expect(readContent("/v1/completions", { choices: [{ text: " done" }] })).toBe(" done");
  });
});

describe("of a response", () => {
  test("is its output_text, joined as the SDK joins it", () => {
    const body = {
      output: [
        { type: "reasoning", content: [{ type: "output_text", text: "not this" }] },
        {
          type: "message",
          content: [
            { type: "output_text", text: "Hel" },
            { type: "refusal", refusal: "no" },
            { type: "output_text", text: "lo" },
          ],
        },
        { type: "message", content: [{ type: "output_text", text: "." }] },
      ],
    };
    expect(readContent("/v1/responses", body)).toBe("Hello.");
  });

  test("is the whole body when it has no text", () => {
    const body = { output: [{ type: "function_call", name: "f", arguments: "{}" }] };
    expect(readContent("/v1/responses", body)).toBe(body);
  });
});

describe("of embeddings", () => {
  test("is the embedding, or the list of several", () => {
    const one = { data: [{ index: 0, embedding: [1, 2] }] };
    const two = { data: [{ embedding: [1, 2] }, { embedding: "AAA=" }] };
    expect(readContent("/v1/embeddings", one)).toEqual([1, 2]);
    expect(readContent("/v1/embeddings", two)).toEqual([[1, 2], "AAA="]);
  });
});

describe("of images", () => {
  test("is where the picture is, or its bytes, or the list of several", () => {
    const picture = (data: object[]) => readContent("/v1/images/generations", { data });
    expect(picture([{ url: "https://a" }])).toBe("https://a");
    expect(picture([{ b64_json: "aGk=" }, { b64_json: "eW8=" }])).toEqual(["aGk=", "eW8="]);
    expect(readContent("/v1/images/edits", { data: [{}] })).toEqual({ data: [{}] });
  });
});

describe("of a moderation", () => {
  test("is its results", () => {
    expect(readContent("/v1/moderations", { results: [{ flagged: true }] })).toEqual([
      { flagged: true },
    ]);
  });
});

describe("of anything else", () => {
  test("is the whole body", () => {
    const bodies = [
      null,
      "text",
      5,
      {},
      { choices: [] },
      { data: [] },
      { output: "x" },
      { data: [{}] },
    ];
    for (const endpoint of [CHAT, "/v1/responses", "/v1/embeddings", "/v1/completions", "/v1/x"]) {
      for (const body of bodies) expect(readContent(endpoint, body)).toBe(body);
    }
  });

  test("never throws", () => {
    const part = fc.anything();
    const body = fc.oneof(
      part,
      fc.record({ choices: part, output: part, data: part }),
      fc.record({ choices: fc.array(part), output: fc.array(part), data: fc.array(part) }),
    );
    const endpoint = fc.constantFrom(CHAT, "/v1/responses", "/v1/embeddings", "/v1/completions");
    fc.assert(fc.property(endpoint, body, (at, value) => void readContent(at, value)));
  });
});
