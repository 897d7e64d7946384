import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  estimateCall,
  estimateTokens,
  meanOutputAfter,
  tokensToReserve,
} from "../../src/core/tokens.ts";

const CHAT = "/v1/chat/completions";

function chat(content: unknown, rest: object = {}): number {
  return estimateTokens(CHAT, { model: "m", messages: [{ role: "user", content }], ...rest });
}

describe("input", () => {
  test("is about 4 Latin characters a token", () => {
    const text = "The quick brown fox jumps over the lazy dog. ".repeat(100);
    expect(chat(text)).toBeGreaterThan(text.length / 4);
    expect(chat(text)).toBeLessThan(text.length / 4 + 10);
  });

  test("is about 1 token a character of CJK", () => {
    expect(chat("漢字かな".repeat(1000))).toBeGreaterThanOrEqual(4000);
    expect(chat("漢字かな".repeat(1000))).toBeLessThan(4010);
  });

  test("is read from every endpoint's field", () => {
    const text = "word ".repeat(80);
    for (const [endpoint, body] of [
      ["/v1/responses", { input: text }],
      ["/v1/responses", { instructions: text, input: "" }],
      ["/v1/responses", { input: [{ role: "user", content: [{ type: "input_text", text }] }] }],
      [CHAT, { messages: [{ role: "user", content: [{ type: "text", text }] }] }],
      ["/v1/completions", { prompt: text }],
      ["/v1/completions", { prompt: [text.slice(0, 200), text.slice(200)] }],
      ["/v1/embeddings", { input: [text] }],
      ["/v1/moderations", { input: text }],
      ["/v1/messages", { system: text, messages: [] }],
    ] as const) {
      expect(estimateTokens(endpoint, body)).toBeGreaterThanOrEqual(100);
      expect(estimateTokens(endpoint, body)).toBeLessThan(115);
    }
  });

  test("in token ids is one token each", () => {
    expect(estimateTokens("/v1/embeddings", { input: [1, 2, 3] })).toBe(3);
    expect(
      estimateTokens("/v1/embeddings", {
        input: [
          [1, 2],
          [3, 4],
        ],
      }),
    ).toBe(4);
  });

  test("in images does not depend on the length of their base64", () => {
    const url = `data:image/png;base64,${"A".repeat(1_000_000)}`;
    expect(chat([{ type: "image_url", image_url: { url } }])).toBeLessThan(1000);
    const source = { type: "base64", media_type: "image/png", data: "A".repeat(1_000_000) };
    expect(chat([{ type: "image", source }])).toBeLessThan(1000);
  });

  test("of other fields is not counted", () => {
    expect(estimateTokens(CHAT, { metadata: { a: "x".repeat(1000) }, messages: [] })).toBe(1);
  });
});

describe("output", () => {
  test("is max_completion_tokens, then max_tokens, then max_output_tokens", () => {
    const all = { max_completion_tokens: 1000, max_tokens: 2000, max_output_tokens: 4000 };
    const { max_completion_tokens: _, ...two } = all;
    const input = chat("hi");
    expect(chat("hi", all) - input).toBe(1000);
    expect(chat("hi", { ...all, max_completion_tokens: null }) - input).toBe(2000);
    expect(chat("hi", two) - input).toBe(2000);
    expect(chat("hi", { max_output_tokens: 4000 }) - input).toBe(4000);
  });

  test("is reserved for each of n answers", () => {
    expect(chat("hi", { max_tokens: 100, n: 3 }) - chat("hi")).toBe(300);
  });

  test.each<[what: string, body: object, answers: number]>([
    ["one text", { prompt: "hi" }, 1],
    ["fifty texts", { prompt: Array.from({ length: 50 }, () => "hi") }, 50],
    ["a list of tokens", { prompt: [5, 6, 7] }, 1],
    ["lists of tokens", { prompt: [[5, 6, 7], [8]] }, 2],
    ["no text at all", { prompt: [] }, 1],
    ["no prompt", {}, 1],
    ["n", { prompt: "hi", n: 3 }, 3],
    ["best_of, of which one is shown", { prompt: "hi", best_of: 4 }, 4],
    ["best_of, of which n are shown", { prompt: "hi", n: 2, best_of: 4 }, 4],
    ["n beside a best_of of null", { prompt: "hi", n: 2, best_of: null }, 2],
    ["n or best_of for each text", { prompt: ["hi", "ho"], n: 2, best_of: 5 }, 10],
  ])("of completions is reserved for all that are written: %s", (_, body, answers) => {
    const { outputTokens } = estimateCall("/v1/completions", { ...body, max_tokens: 20 });
    expect(outputTokens).toBe(20 * answers);
    expect(estimateCall("/v1/completions", body).outputTokens).toBeNull();
  });

  test("of chat knows neither several prompts nor best_of", () => {
    const rest = { max_tokens: 100, best_of: 5, prompt: ["a", "b"] };
    expect(estimateCall(CHAT, { messages: [], ...rest }).outputTokens).toBe(100);
  });

  test("of no tokens, infinitely often, is none", () => {
    const body = JSON.parse('{"prompt":["a","b"],"max_tokens":0,"n":1e999,"best_of":1e999}');
    expect(estimateCall("/v1/completions", body).outputTokens).toBe(0);
  });

  test("does not exist for embeddings and moderations", () => {
    const body = { input: "four", max_tokens: 1000 };
    expect(estimateTokens("/v1/embeddings", body)).toBe(1);
    expect(estimateTokens("/v1/moderations", body)).toBe(1);
  });

  test("ignores allowances that are no amounts", () => {
    expect(chat("hi", { max_tokens: "500", n: -2 })).toBe(chat("hi"));
    expect(chat("hi", { max_tokens: -500, n: Number.NaN })).toBe(chat("hi"));
  });
});

describe("any value", () => {
  test("gives an integer of at least 1", () => {
    const bodies = fc.oneof(
      fc.anything(),
      fc.record({ messages: fc.anything(), max_tokens: fc.anything(), n: fc.anything() }),
    );
    fc.assert(
      fc.property(fc.string(), bodies, (endpoint, body) => {
        const tokens = estimateTokens(endpoint, body);
        expect(Number.isSafeInteger(tokens) && tokens >= 1).toBe(true);
      }),
    );
  });

  test("may be nested deep", () => {
    const deep = JSON.parse(`{"input":${"[".repeat(100_000)}${"]".repeat(100_000)}}`);
    expect(estimateTokens("/v1/responses", deep)).toBe(1);
  });
});

describe("long text", () => {
  test("that changes its script half way is counted within a tenth", () => {
    const text = "a".repeat(400_000) + "漢".repeat(100_000);
    expect(chat(text)).toBeGreaterThan(200_000 * 0.9);
    expect(chat(text)).toBeLessThan(200_000 * 1.1);
  });

  test("costs what short text does: it is judged by samples of it", () => {
    const leastMs = (text: string) => {
      const rounds = Array.from({ length: 20 }, () => {
        const start = performance.now();
        for (let call = 0; call < 20; call += 1) chat(text);
        return performance.now() - start;
      });
      return Math.min(...rounds);
    };
    const short = "a".repeat(100_000);
    expect(leastMs(short.repeat(100))).toBeLessThan(10 * leastMs(short));
  });
});

describe("tokens to reserve", () => {
  const limited = { inputTokens: 10, outputTokens: 200 };
  const unlimited = { inputTokens: 10, outputTokens: null };
  test.each([
    ["all that the body allows, while no answer was seen", limited, null, 210],
    ["a guess, where it allows any length", unlimited, null, 310],
    ["what answers had in the mean", limited, 20.2, 31],
    ["the same where any length is allowed", unlimited, 20.2, 31],
    ["never more than the body allows", limited, 5_000, 210],
    ["no output where there is none", { inputTokens: 10, outputTokens: 0 }, 20, 10],
    ["at least one", { inputTokens: 0, outputTokens: 0 }, 20, 1],
  ])("%s", (_, estimate, mean, tokens) => {
    expect(tokensToReserve(estimate, mean)).toBe(tokens);
  });
});

describe("the mean length of answers", () => {
  test("is that of the first ones", () => {
    expect(meanOutputAfter(null, { calls: 4, outputTokens: 100 })).toBe(25);
  });
  test("does not change without answers", () => {
    expect(meanOutputAfter(null, { calls: 0, outputTokens: 0 })).toBeNull();
    expect(meanOutputAfter(25, { calls: 0, outputTokens: 0 })).toBe(25);
  });
  test("follows answers that become longer, however they are put together", () => {
    let one: number | null = 20;
    for (let call = 0; call < 60; call += 1) {
      one = meanOutputAfter(one, { calls: 1, outputTokens: 100 });
    }
    const all = meanOutputAfter(20, { calls: 60, outputTokens: 6_000 });
    expect(one).toBeGreaterThan(95);
    expect(all).toBeCloseTo(one ?? 0, 6);
  });
});
