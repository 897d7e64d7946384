import { describe, expect, test } from "vitest";
import { together } from "../../src/core/limits.ts";

describe("what several quotas give together", () => {
  test("is the sum of what each gives", () => {
    const a = { rpm: 600, tpm: 1_000, burst: 3, maxConcurrency: 5 };
    const b = { rpm: 1_200, tpm: 500, maxConcurrency: 8 };
    // Without a burst of its own it is a second's worth.
    expect(together([a, b])).toEqual({ rpm: 1_800, tpm: 1_500, burst: 23, maxConcurrency: 13 });
  });

  test("has no limit that one of them has not", () => {
    const { rpm, tpm } = together([{ rpm: 600, maxConcurrency: 5 }, { maxConcurrency: 8 }]);
    expect([rpm, tpm]).toEqual([undefined, undefined]);
  });
});
