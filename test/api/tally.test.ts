import { expect, test } from "vitest";
import { type Options, Tally } from "../../src/api/tally.ts";
import { parseConfig } from "../../src/config.ts";

/** Two upstreams of which the first takes 60 calls a minute, one at once, and the second the double. */
const config = parseConfig({
  UPSTREAMS: JSON.stringify([
    { name: "one", base_url: "https://one.example/v1", rpm: 60, burst: 1 },
    { name: "two", base_url: "https://two.example/v1", rpm: 120, burst: 1 },
  ]),
});

function tallyOf(calls: number, options: Partial<Options>): Tally {
  const of = { dedupe: false, pool: false, ...options };
  const tally = new Tally(config, "/v1/chat/completions", of);
  for (let index = 0; index < calls; index += 1) {
    const body = `{"model":"m","n":${index}}`;
    tally.add(
      { customId: `${index}`, body, cost: 10, inputTokens: 5, outputTokens: 5, model: "m" },
      null,
    );
  }
  return tally;
}

const estimateOf = (calls: number, options: Partial<Options>, waiting = 0) =>
  tallyOf(calls, options).check(waiting, new Map()).estimate;

test("a pool is estimated by what its upstreams give together", () => {
  expect(estimateOf(182, { pool: false }).finish_seconds).toBeCloseTo(181.6, 0);
  expect(estimateOf(182, { pool: true }).finish_seconds).toBeCloseTo(60.6, 0);
});

test("a batch's own max_concurrency is reckoned with where it is the smaller one", () => {
  // Ten calls, each of 500 ms and 15 ms for each of its five tokens.
  const one = estimateOf(10, { pool: true, max_concurrency: 1 });
  expect(one).toMatchObject({ finish_seconds: 5.8, bound_by: "calls in flight" });
  const many = estimateOf(10, { pool: true, max_concurrency: 10_000 });
  expect(many).toEqual(estimateOf(10, { pool: true }));
  expect(many.finish_seconds).toBeLessThan(5);
});

test("what waits before a batch is not held to that batch's max_concurrency", () => {
  const found = estimateOf(10, { max_concurrency: 1 }, 170);
  const free = estimateOf(10, {}, 170);
  expect(found.finish_seconds_behind_others).toBe(free.finish_seconds_behind_others);
  // Nor is it said to end before it could alone.
  const alone = estimateOf(10, { pool: true, max_concurrency: 1 }, 1);
  expect(alone.finish_seconds_behind_others).toBe(alone.finish_seconds);
});
