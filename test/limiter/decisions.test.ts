import { expect, test } from "vitest";
import { DOWN_AFTER, freshBreaker, heard } from "../../src/core/breaker.ts";
import { freshQuota, type Quota } from "../../src/core/quota.ts";
import { breakerDecisions, quotaDecisions } from "../../src/limiter/decisions.ts";

const NOW = 1_800_000_000_000;

function quota(change: Partial<Quota>): Quota {
  return { ...freshQuota(), ...change };
}
/** A quota that goes at a pace. */
function paced(perMinute: number): Quota {
  const { learned } = freshQuota();
  return quota({ learned: { ...learned, pace: { ...learned.pace, perMinute } } });
}

test("nothing is decided of a quota that stays as it is", () => {
  expect(quotaDecisions("q", freshQuota(), freshQuota(), NOW)).toEqual([]);
});

test("a rest is logged when it begins or grows, with its length", () => {
  const resting = quota({ cooldownUntilMs: NOW + 3_000, throttles: 1 });
  const rests = { event: "quota_rests", quota: "q", rest_ms: 3_000, throttles: 1 };
  expect(quotaDecisions("q", freshQuota(), resting, NOW)).toEqual([rests]);
  expect(quotaDecisions("q", resting, resting, NOW)).toEqual([]);
  expect(quotaDecisions("q", resting, freshQuota(), NOW)).toEqual([]);
});

test("a pace is logged when it is first known and when it is cut, and not as it rises", () => {
  expect(quotaDecisions("q", freshQuota(), paced(600), NOW)).toEqual([
    { event: "quota_paced", quota: "q", per_minute: expect.any(Number) },
  ]);
  expect(quotaDecisions("q", paced(600), paced(400), NOW)).toHaveLength(1);
  expect(quotaDecisions("q", paced(400), paced(600), NOW)).toEqual([]);
});

test("limits that headers tell are logged when they are others than before", () => {
  const { learned } = freshQuota();
  const told = quota({ learned: { ...learned, requests: { perMinute: 500, burst: 500 } } });
  expect(quotaDecisions("q", freshQuota(), told, NOW)).toEqual([
    { event: "quota_told", quota: "q", rpm: 500, tpm: null },
  ]);
  expect(quotaDecisions("q", told, told, NOW)).toEqual([]);
});

test("an upstream is logged when it is found to be down, and when it answers again", () => {
  const hear = (alive: number, broken: number, from = freshBreaker()) =>
    heard(from, { batch: "b", alive, broken, held: 1 }, NOW);
  const failing = hear(0, DOWN_AFTER - 1);
  const down = hear(0, 1, failing);
  expect(breakerDecisions("q", freshBreaker(), failing)).toEqual([]);
  expect(breakerDecisions("q", failing, down)).toEqual([
    { event: "quota_down", quota: "q", failures: DOWN_AFTER },
  ]);
  expect(breakerDecisions("q", down, hear(0, 1, down))).toEqual([]);
  expect(breakerDecisions("q", down, hear(1, 0, down))).toEqual([
    { event: "quota_up", quota: "q", probes: 0 },
  ]);
});
