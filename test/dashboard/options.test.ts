import { describe, expect, test } from "vitest";
import { NO_OPTIONS, requestOf } from "../../src/dashboard/page/options.ts";

describe("a new batch's options", () => {
  test("say nothing of limits that were left empty", () => {
    expect(JSON.parse(JSON.stringify(requestOf(NO_OPTIONS)))).toEqual({
      completion_window: "24h",
      dedupe: false,
      pool: false,
    });
  });

  test("are sent as numbers", () => {
    const typed = {
      ...NO_OPTIONS,
      concurrency: "5",
      tokens: "100",
      dollars: "0.5",
      window: " 7d ",
    };
    expect(requestOf(typed)).toEqual({
      completion_window: "7d",
      max_concurrency: 5,
      max_tokens_total: 100,
      max_cost: 0.5,
      dedupe: false,
      pool: false,
    });
  });
});
