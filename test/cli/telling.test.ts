import { describe, expect, test } from "vitest";
import { describe as describeProgress } from "../../src/cli/progress.ts";
import { shorten } from "../../src/cli/summary.ts";

const none = { pending: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0, expired: 0 };

describe("progress in words", () => {
  test("before the first outcome there is no guess", () => {
    expect(
      describeProgress({ ...none, pending: 300 }, { total: 300, before: 0, elapsedMs: 0 }),
    ).toBe("0/300  0 succeeded  0 failed  0/s  – left");
  });
  test("counts, rate and time left", () => {
    const counts = { ...none, pending: 150, running: 50, succeeded: 97, failed: 2, expired: 1 };
    expect(describeProgress(counts, { total: 300, before: 0, elapsedMs: 2_000 })).toBe(
      "100/300  97 succeeded  3 failed  50/s  4 s left",
    );
  });
  test("at the end, the time it took", () => {
    const all = { ...none, succeeded: 300 };
    expect(describeProgress(all, { total: 300, before: 0, elapsedMs: 3_456 })).toBe(
      "300/300  300 succeeded  0 failed  87/s  3.5 s",
    );
  });
  test("what was done before somebody looked is no part of the rate", () => {
    const seen = { total: 62, before: 60, elapsedMs: 2_000 };
    expect(describeProgress({ ...none, running: 2, succeeded: 60 }, seen)).toBe(
      "60/62  60 succeeded  0 failed  0/s  – left",
    );
    expect(describeProgress({ ...none, running: 1, succeeded: 61 }, seen)).toContain(
      "1/s  2 s left",
    );
  });
});

describe("shorten", () => {
  test("leaves what fits, on one line", () => {
    expect(shorten("  a\nb  c ", 20)).toBe("a b c");
  });
  test("never cuts a letter in two, and counts a Japanese one as two columns", () => {
    expect(shorten("電子機器で使用される", 10)).toBe("電子機器…");
    expect(shorten("𠮷野家で食べる🍚🍚🍚", 9)).not.toMatch(/\p{Surrogate}/u);
  });
});
