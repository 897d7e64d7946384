import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nearest } from "../../src/core/nearest.ts";
import { fromPrompts } from "../../src/wire/batch.ts";

const NAMES = ["max_concurrency", "metadata", "webhook", "priority", "model", "url"];

describe("nearest", () => {
  test.each([
    ["max_concurency", "max_concurrency"],
    ["max_concurrencyy", "max_concurrency"],
    ["max_conccurency", "max_concurrency"],
    ["maxconcurency", "max_concurrency"],
    ["max_cnocurrency", "max_concurrency"],
    ["metdata", "metadata"],
    ["meatdata", "metadata"],
    ["webhok", "webhook"],
    ["webhooks", "webhook"],
    ["modle", "model"],
  ])("finds what %s was meant to be", (name, meant) => {
    expect(nearest(name, NAMES)).toBe(meant);
  });

  test.each(["", "x", "max_tokens", "temperature", "wbhok", "urls", "ur", "moodels", "stop"])(
    "takes %j for a name of its own",
    (name) => {
      expect(nearest(name, NAMES)).toBeUndefined();
    },
  );

  test("prefers the nearer of two", () => {
    expect(nearest("priority_a", ["priority_bc", "priority_b"])).toBe("priority_b");
  });

  test("finds nothing for a name that is right, and takes any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), (name) => {
        const found = nearest(name, [...NAMES, name]);
        expect(found === undefined || NAMES.includes(found)).toBe(true);
      }),
    );
    for (const name of NAMES) expect(nearest(name, [name])).toBeUndefined();
  });

  test("takes no setting of a chat completion for a slip of the batch's", () => {
    const settings = `audio frequency_penalty function_call functions logit_bias logprobs
      max_completion_tokens max_tokens modalities moderation n parallel_tool_calls prediction
      presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention
      reasoning_effort response_format safety_identifier seed service_tier stop store stream
      stream_options temperature tool_choice tools top_logprobs top_p user verbosity
      web_search_options top_k min_p min_tokens repetition_penalty guided_json chat_template_kwargs
      extra_body thinking provider transforms plugins reasoning`.split(/\s+/);
    const options = Object.keys(fromPrompts.shape);
    expect(settings.filter((name) => nearest(name, options) !== undefined)).toEqual([]);
  });
});
