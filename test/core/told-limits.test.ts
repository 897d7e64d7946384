import { describe, expect, test } from "vitest";
import { parseGoDuration, readToldLimits } from "../../src/core/told-limits.ts";
import { goDuration } from "../../src/simulator/limits.ts";

const NOW_MS = Date.UTC(2026, 10, 27, 12);
const read = (headers: Record<string, string>) => readToldLimits(new Headers(headers), NOW_MS);

describe("a Go duration", () => {
  test.each([
    ["12ms", 12],
    ["1s", 1_000],
    ["1.5s", 1_500],
    ["6m0s", 360_000],
    ["1h0m0.5s", 3_600_500],
    ["250us", 0.25],
    ["7.66", 7_660],
    ["0s", 0],
  ])("%s", (text, ms) => {
    expect(parseGoDuration(text)).toBeCloseTo(ms, 6);
  });
  test.each([[""], ["soon"], ["-1s"], ["1 s"], ["s"], ["1d"], [null]])("%s is none", (text) => {
    expect(parseGoDuration(text)).toBeUndefined();
  });
  test("as the simulator writes it, to the millisecond", () => {
    for (const ms of [1, 999, 1_000, 59_999, 60_000, 86_400_000]) {
      expect(parseGoDuration(goDuration(ms))).toBe(ms);
    }
  });
});

describe("the headers of an answer", () => {
  const openai = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-reset-requests": "120ms",
  };
  test("tell OpenAI's buckets", () => {
    const tokens = {
      "x-ratelimit-limit-tokens": "30000",
      "x-ratelimit-remaining-tokens": "29000",
      "x-ratelimit-reset-tokens": "2s",
    };
    expect(read({ ...openai, ...tokens })).toEqual({
      requests: { limit: 500, remaining: 499, resetMs: 120 },
      tokens: { limit: 30_000, remaining: 29_000, resetMs: 2_000 },
    });
  });
  test.each([
    ["a negative value", { ...openai, "x-ratelimit-remaining-requests": "-1" }],
    ["a limit of nothing", { ...openai, "x-ratelimit-limit-requests": "0" }],
    ["no reset", { ...openai, "x-ratelimit-reset-requests": "" }],
    ["words", { ...openai, "x-ratelimit-limit-requests": "many" }],
    ["none of them", { "content-type": "application/json" }],
  ])("mean nothing with %s", (_, headers) => {
    expect(read(headers)).toBeUndefined();
  });
  test("tell Anthropic's, whose resets are times by the upstream's own clock", () => {
    expect(
      read({
        date: "Fri, 27 Nov 2026 12:00:10 GMT",
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-11-27T12:00:11Z",
        "anthropic-ratelimit-input-tokens-limit": "30000",
        "anthropic-ratelimit-input-tokens-remaining": "29000",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-27T12:00:12Z",
        "anthropic-ratelimit-output-tokens-limit": "8000",
        "anthropic-ratelimit-output-tokens-remaining": "1000",
        "anthropic-ratelimit-output-tokens-reset": "2026-11-27T12:01:02Z",
      }),
    ).toEqual({
      requests: { limit: 50, remaining: 49, resetMs: 1_000 },
      // The one that is nearer its end.
      tokens: { limit: 8_000, remaining: 1_000, resetMs: 52_000 },
    });
  });
});
