import { expect, test } from "vitest";
import { Tally } from "../../src/api/tally.ts";
import { parseConfig } from "../../src/config.ts";

/** Two upstreams of which the first takes 60 calls a minute, one at once, and the second the double. */
const config = parseConfig({
  UPSTREAMS: JSON.stringify([
    { name: "one", base_url: "https://one.example/v1", rpm: 60, burst: 1 },
    { name: "two", base_url: "https://two.example/v1", rpm: 120, burst: 1 },
  ]),
});

function secondsOf(pool: boolean): number {
  const tally = new Tally(config, "/v1/chat/completions", { dedupe: false, pool });
  for (let index = 0; index < 182; index += 1) {
    const body = `{"model":"m","n":${index}}`;
    tally.add(
      { customId: `${index}`, body, cost: 10, inputTokens: 5, outputTokens: 5, model: "m" },
      null,
    );
  }
  return tally.check(0, new Map()).estimate.finish_seconds;
}

test("a pool is estimated by what its upstreams give together", () => {
  expect(secondsOf(false)).toBeCloseTo(181.6, 0);
  expect(secondsOf(true)).toBeCloseTo(60.6, 0);
});
