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

  test("reads a message, whose input is beside what its cache read and wrote", () => {
    const usage = {
      input_tokens: 20,
      cache_read_input_tokens: 300,
      cache_creation_input_tokens: 4,
      output_tokens: 50,
      output_tokens_details: { thinking_tokens: 30 },
    };
    expect(readUsage({ usage })).toEqual({
      input_tokens: 324,
      cached_tokens: 300,
      output_tokens: 50,
      reasoning_tokens: 30,
    });
    const without = { cache_read_input_tokens: null, cache_creation_input_tokens: null };
    expect(readUsage({ usage: { ...without, input_tokens: 20, output_tokens: 5 } })).toEqual({
      input_tokens: 20,
      cached_tokens: 0,
      output_tokens: 5,
      reasoning_tokens: 0,
    });
  });

  test("adds no cache to an input that holds it already, as some proxies say it", () => {
    const cache = { cache_read_input_tokens: 300, cache_creation_input_tokens: 4 };
    const chat = { prompt_tokens: 324, completion_tokens: 1, ...cache };
    expect(readUsage({ usage: chat })).toMatchObject({ input_tokens: 324, output_tokens: 1 });
    const response = { input_tokens: 324, input_tokens_details: { cached_tokens: 300 }, ...cache };
    expect(readUsage({ usage: response })).toMatchObject({ input_tokens: 324, cached_tokens: 300 });
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

  test("rounds fractions of a token, each count by itself", () => {
    const usage = {
      prompt_tokens: 19.5,
      completion_tokens: 10.4,
      prompt_tokens_details: { cached_tokens: 0.5 },
      completion_tokens_details: { reasoning_tokens: 0.49 },
    };
    expect(readUsage({ usage })).toEqual({
      input_tokens: 20,
      cached_tokens: 1,
      output_tokens: 10,
      reasoning_tokens: 0,
    });
    expect(readUsage({ usage: { total_tokens: 8.6, output_tokens: 3.4 } })).toMatchObject({
      input_tokens: 6,
      output_tokens: 3,
    });
  });

  test("takes a thousand million tokens, and ignores more than any call can use", () => {
    expect(readUsage({ usage: { prompt_tokens: 1e9 } })).toMatchObject({ input_tokens: 1e9 });
    for (const huge of [1e9 + 1, 2 ** 53, 1e308, Number.POSITIVE_INFINITY]) {
      expect(readUsage({ usage: { prompt_tokens: huge } })).toBeUndefined();
      expect(readUsage({ usage: { prompt_tokens: huge, completion_tokens: 4 } })).toEqual({
        input_tokens: 0,
        cached_tokens: 0,
        output_tokens: 4,
        reasoning_tokens: 0,
      });
      const details = { cached_tokens: huge };
      expect(
        readUsage({ usage: { prompt_tokens: 3, prompt_tokens_details: details } }),
      ).toMatchObject({ input_tokens: 3, cached_tokens: 0 });
    }
  });

  test("takes the other name's count when one name's is none", () => {
    expect(readUsage({ usage: { prompt_tokens: 1e300, input_tokens: 7 } })).toMatchObject({
      input_tokens: 7,
    });
  });

  test("never throws, and gives whole numbers that add up exactly, if anything", () => {
    const count = fc.oneof(fc.double(), fc.integer(), fc.constant(1e9), fc.anything());
    const usage = fc.record(
      {
        prompt_tokens: count,
        completion_tokens: count,
        total_tokens: count,
        prompt_tokens_details: fc.record({ cached_tokens: count }),
        output_tokens_details: fc.record({ reasoning_tokens: count }),
      },
      { requiredKeys: [] },
    );
    const body = fc.oneof(fc.anything(), fc.record({ usage: fc.oneof(usage, fc.anything()) }));
    fc.assert(
      fc.property(body, (answer) => {
        for (const tokens of Object.values(readUsage(answer) ?? {})) {
          expect(Number.isSafeInteger(tokens) && tokens >= 0 && tokens <= 1e9).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});
