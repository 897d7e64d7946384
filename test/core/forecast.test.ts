import { describe, expect, test } from "vitest";
import { forecast } from "../../src/core/forecast.ts";

const LIMITS = { rpm: undefined, tpm: undefined, burst: undefined, maxConcurrency: 10 };
const load = { calls: 1_000, tokens: 100_000, outputTokens: 100_000 };

describe("how long a load takes", () => {
  test("is held by calls in flight where there is no rate", () => {
    // A hundred rounds of 0.5 s and 100 tokens of 15 ms.
    expect(forecast(load, LIMITS)).toEqual({ ms: 200_000, boundBy: "calls in flight" });
  });

  test("is held by requests a minute, after the burst", () => {
    const { ms, boundBy } = forecast(load, { ...LIMITS, rpm: 60, burst: 100 });
    expect({ ms, boundBy }).toEqual({ ms: 902_000, boundBy: "requests" });
  });

  test("is held by tokens a minute", () => {
    const { ms, boundBy } = forecast(load, { ...LIMITS, rpm: 60_000, tpm: 1_000 });
    expect({ ms, boundBy }).toEqual({ ms: 6_002_000, boundBy: "tokens" });
  });

  test("is one call's time for one call", () => {
    const one = { calls: 1, tokens: 10, outputTokens: 10 };
    expect(forecast(one, { ...LIMITS, rpm: 60 })).toEqual({ ms: 650, boundBy: "calls in flight" });
  });
});
