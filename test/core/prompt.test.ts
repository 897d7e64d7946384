import { describe, expect, test } from "vitest";
import { readPrompt } from "../../src/core/prompt.ts";

const CHAT = "/v1/chat/completions";

describe("readPrompt", () => {
  test.each([
    ["a chat", CHAT, { messages: [{ role: "user", content: "空はなぜ青い？" }] }, "空はなぜ青い？"],
    [
      "the last message of the user",
      CHAT,
      {
        messages: [
          { role: "user", content: "first" },
          { role: "assistant", content: "answer" },
          { role: "user", content: "second" },
          { role: "assistant", content: "prefill" },
        ],
      },
      "second",
    ],
    [
      "text parts among others",
      "/v1/messages",
      {
        messages: [
          {
            role: "user",
            content: [{ type: "text", text: "a" }, { type: "image" }, { text: "b" }],
          },
        ],
      },
      "a\nb",
    ],
    ["a chat without a user", CHAT, { messages: [{ role: "system", content: "be" }] }, "be"],
    ["an input", "/v1/embeddings", { input: "embed me" }, "embed me"],
    ["several inputs", "/v1/embeddings", { input: ["a", "b"] }, "a\nb"],
    ["a conversation as input", "/v1/responses", { input: [{ role: "user", content: "q" }] }, "q"],
    ["a prompt", "/v1/completions", { prompt: "once" }, "once"],
  ])("reads %s", (_, endpoint, body, prompt) => {
    expect(readPrompt(endpoint, body)).toBe(prompt);
  });

  test.each([
    [CHAT, {}],
    [CHAT, { messages: [] }],
    [CHAT, { messages: [null] }],
    [CHAT, { messages: "x" }],
    ["/v1/embeddings", { input: [1, 2] }],
    ["/v1/embeddings", null],
  ])("finds nothing in %s %j", (endpoint, body) => {
    expect(readPrompt(endpoint, body)).toBeUndefined();
  });
});
