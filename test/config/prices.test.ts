import { describe, expect, it } from "vitest";
import { modelCheck } from "../../src/config/model-check.ts";
import { priceOf } from "../../src/config/prices.ts";
import { ConfigError, parseConfig } from "../../src/config.ts";

const read = (PRICES: unknown) => parseConfig({ PRICES }).prices;

function problemsOf(PRICES: unknown): string[] {
  try {
    parseConfig({ PRICES });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe("PRICES", () => {
  it("takes dollars for a million tokens, and counts in nano-dollars", () => {
    const text = '{"gpt-4o-mini*": {"input": 0.15, "output": 0.60, "cached_input": 0.075}}';
    const price = { input: 150_000_000, output: 600_000_000, cachedInput: 75_000_000 };
    expect(read(text)).toEqual([{ pattern: "gpt-4o-mini*", price }]);
    expect(read(JSON.parse(text))).toEqual(read(text));
  });

  it("takes cached input at the price of input unless told", () => {
    const [one] = read('{"m": {"input": 0.0375, "output": 0}}');
    expect(one?.price).toEqual({ input: 37_500_000, output: 0, cachedInput: 37_500_000 });
  });

  it("is empty unless told", () => {
    expect(read(undefined)).toEqual([]);
    expect(read("")).toEqual([]);
  });

  it.each([
    ["{", /^PRICES takes a JSON object of US dollars .* \(it is no JSON at character \d+\)\.$/],
    ["[]", /^PRICES takes a JSON object of US dollars/],
    ['{"m": 5}', /^PRICES\.m takes an object with the members input, output/],
    ['{"m": {"input": 1}}', /^PRICES\.m\.output takes a number of US dollars/],
    ['{"m": {"input": -1, "output": 1}}', /^PRICES\.m\.input takes .*0 to 10000\.$/],
    ['{"m": {"input": "1", "output": 1}}', /^PRICES\.m\.input takes a number/],
    ['{"m": {"input": 10001, "output": 1}}', /^PRICES\.m\.input takes .*0 to 10000\.$/],
    ['{"m": {"input": 1, "output": 1, "cached": 1}}', /^PRICES\.m takes an object with/],
  ])("refuses %s and says what it takes", (text, says) => {
    expect(problemsOf(text)).toHaveLength(1);
    expect(problemsOf(text)[0]).toMatch(says);
  });
});

describe("priceOf", () => {
  const prices = read(
    '{"gpt-4o*": {"input": 2, "output": 0}, "gpt-4o-mini*": {"input": 1, "output": 0}, "gpt-4o-mini-2024*": {"input": 3, "output": 0}, "gpt-4o-mini-x": {"input": 4, "output": 0}}',
  );
  it.each([
    ["gpt-4o", 2],
    ["gpt-4o-mini", 1],
    ["gpt-4o-mini-2024-07-18", 3],
    ["gpt-4o-mini-x", 4],
    ["gpt-4o-mini-xy", 1],
    ["o3", undefined],
    [undefined, undefined],
  ])("takes the model's own price, else the longest pattern's: %s", (model, dollars) => {
    const price = priceOf(prices, model);
    expect(price && price.input / 1e9).toBe(dollars);
  });
});

describe("modelCheck", () => {
  const config = parseConfig({
    UPSTREAM_BASE_URL: "http://127.0.0.1:1/v1",
    UPSTREAM_ALLOW_PRIVATE: "1",
    PRICES: '{"m*": {"input": 1, "output": 1}}',
  });

  it("asks for a price only where there is a max_cost", () => {
    expect(modelCheck(config, "/v1/responses", false)("other")).toBeUndefined();
    expect(modelCheck(config, "/v1/responses", true)("m1")).toBeUndefined();
    expect(modelCheck(config, "/v1/responses", true)("other")).toEqual({
      code: "model_not_priced",
      why: "a batch with max_cost takes models that PRICES has a price for, and the model 'other' has none; priced are: m*.",
    });
    expect(modelCheck(config, "/v1/responses", true)(undefined)?.why).toContain(
      "a body without a model",
    );
  });
});
