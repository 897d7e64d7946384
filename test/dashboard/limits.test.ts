import { describe, expect, test } from "vitest";
import { changesOf, typedOf } from "../../src/dashboard/page/limits.ts";
import type { BatchObject } from "../../src/wire/batch.ts";

const batchWith = (max_concurrency: number | null, max_tokens_total: number | null) =>
  ({ muster: { max_concurrency, budget: { max_tokens_total, max_cost: 0.5 } } }) as BatchObject;

describe("a batch's limits in fields", () => {
  test("change nothing as they stand", () => {
    for (const batch of [batchWith(20, null), batchWith(null, 5_000)]) {
      expect(changesOf(typedOf(batch), batch)).toEqual({});
    }
  });

  test("change what was typed, and take away what was emptied", () => {
    const batch = batchWith(20, 5_000);
    const typed = { ...typedOf(batch), concurrency: " ", dollars: "1.25" };
    expect(changesOf(typed, batch)).toEqual({ max_concurrency: null, max_cost: 1.25 });
  });
});
