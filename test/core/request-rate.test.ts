import fc from "fast-check";
import { expect, test } from "vitest";
import { pass } from "../../src/core/request-rate.ts";

const NOW = 1_800_000_000_000;

test("a minute's worth passes at once, and the next one waits for its place", () => {
  let state = { tatMs: 0 };
  for (let left = 59; left >= 0; left -= 1) {
    const passing = pass(state, 60, NOW);
    expect(passing).toMatchObject({ passes: true, rate: { perMinute: 60, remaining: left } });
    state = passing.state;
  }
  expect(pass(state, 60, NOW)).toMatchObject({ passes: false, waitMs: 1000 });
  expect(pass(state, 60, NOW + 1000)).toMatchObject({ passes: true, rate: { remaining: 0 } });
});

test("a refused request costs nothing", () => {
  const empty = { tatMs: NOW + 60_000 };
  const refused = pass(empty, 10, NOW);
  expect(refused.state).toEqual(empty);
  expect(refused.passes).toBe(false);
});

test("a limit of none at all lets nothing pass", () => {
  expect(pass({ tatMs: 0 }, 0, NOW)).toMatchObject({ passes: false, rate: { remaining: 0 } });
});

test("a clock that is set back delays nobody for longer than a minute", () => {
  const state = { tatMs: NOW + 3_600_000 };
  expect(pass(state, 1, NOW)).toMatchObject({ passes: false, waitMs: 60_000 });
});

test("in any time no more pass than a minute's worth and what came in since", () => {
  const gaps = fc.array(fc.nat({ max: 5_000 }), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100 }), gaps, (perMinute, waits) => {
      let state = { tatMs: 0 };
      let nowMs = NOW;
      let passed = 0;
      for (const wait of waits) {
        nowMs += wait;
        const passing = pass(state, perMinute, nowMs);
        if (passing.passes) passed += 1;
        else expect(passing.waitMs).toBeGreaterThan(0);
        expect(passing.rate.remaining).toBeGreaterThanOrEqual(0);
        state = passing.state;
      }
      expect(passed).toBeLessThanOrEqual(perMinute + ((nowMs - NOW) / 60_000) * perMinute + 1e-6);
    }),
  );
});
