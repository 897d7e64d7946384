import { describe, expect, test } from "vitest";
import { changesOf, textsOf } from "../../src/dashboard/page/limits.ts";
import type { BatchObject } from "../../src/wire/batch.ts";

describe("a batch's limits in fields", () => {
  test("stand there as they are; none is empty", () => {
    const budget = { max_tokens_total: null, max_cost: 0.5 };
    const batch = { muster: { max_concurrency: 20, budget } } as BatchObject;
    expect(textsOf(batch)).toEqual({ concurrency: "20", tokens: "", dollars: "0.5" });
  });

  test("change nothing while nobody types", () => {
    expect(changesOf({})).toEqual({});
  });

  test("change what was typed and nothing else, and take away what was emptied", () => {
    expect(changesOf({ concurrency: " ", dollars: "1.25" })).toEqual({
      max_concurrency: null,
      max_cost: 1.25,
    });
  });
});
