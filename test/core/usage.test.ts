import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readUsage } from "../../src/core/usage.ts";

describe("readUsage", () => {
  test("reads a chat completion", () => {
    const usage = {
      prompt_tokens: 19,
      completion_tokens: 10,
      total_tokens: 29,
      prompt_tokens_details: { cached_tokens: 5, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 7 },
    };
    expect(readUsage({ usage })).toEqual({
      input_tokens: 19,
      cached_tokens: 5,
      output_tokens: 10,
      reasoning_tokens: 7,
    });
  });

  test("reads a response", () => {
    const usage = {
      input_tokens: 36,
      input_tokens_details: { cached_tokens: 1 },
      output_tokens: 87,
      output_tokens_details: { reasoning_tokens: 2 },
      total_tokens: 123,
    };
    expect(readUsage({ usage })).toEqual({
      input_tokens: 36,
      cached_tokens: 1,
      output_tokens: 87,
      reasoning_tokens: 2,
    });
  });

  test("reads an embedding", () => {
    const read = { input_tokens: 8, cached_tokens: 0, output_tokens: 0, reasoning_tokens: 0 };
    expect(readUsage({ usage: { prompt_tokens: 8, total_tokens: 8 } })).toEqual(read);
    expect(readUsage({ usage: { total_tokens: 8 } })).toEqual(read);
  });

  test("ignores what is not a number of tokens", () => {
    const usage = {
      prompt_tokens: 3,
      completion_tokens: "4",
      prompt_tokens_details: null,
      completion_tokens_details: { reasoning_tokens: -1 },
    };
    expect(readUsage({ usage })).toEqual({
      input_tokens: 3,
      cached_tokens: 0,
      output_tokens: 0,
      reasoning_tokens: 0,
    });
  });

  test("is undefined when nothing was said", () => {
    for (const body of [null, undefined, "text", 5, [], {}, { usage: null }, { usage: {} }]) {
      expect(readUsage(body)).toBeUndefined();
    }
    expect(readUsage({ usage: { prompt_tokens: "8" } })).toBeUndefined();
  });

  test("never throws, and gives numbers if anything", () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.record({ usage: fc.anything() })), (body) => {
        const numbers = Object.values(readUsage(body) ?? {});
        expect(numbers.every((tokens) => Number.isFinite(tokens) && tokens >= 0)).toBe(true);
      }),
    );
  });
});
