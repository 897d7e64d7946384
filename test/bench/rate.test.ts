import { expect, it } from "vitest";
import { rateOf, tokensOf } from "./peers/rate.ts";

const order = { baseUrl: "", dir: "", lanes: 50, timeoutMs: 1_000, averageTokens: 250 };

it("a limiter that counts in a window gets a burst's worth in the time it takes to refill", () => {
  expect(rateOf({ ...order, rpm: 6_000, burst: 10 })).toEqual({ max: 10, perMs: 100 });
  expect(rateOf({ ...order, rpm: 6_000 })).toEqual({ max: 100, perMs: 1_000 });
});

it("a limit on tokens becomes one on calls of average cost", () => {
  expect(rateOf({ ...order, tpm: 600_000 })).toEqual({ max: 40, perMs: 1_000 });
  expect(rateOf(order)).toBeUndefined();
});

it("a call costs its input by length and all the output it may have", () => {
  const messages = [{ role: "user" as const, content: "x".repeat(41) }];
  expect(tokensOf({ model: "m", messages, max_tokens: 200 })).toBe(211);
});
