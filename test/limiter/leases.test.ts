import { expect, test } from "vitest";
import { freshQuota, type Quota } from "../../src/core/quota.ts";
import { isLeasable, LEASE_MS, Leases } from "../../src/limiter/leases.ts";

const NOW = 1_800_000_000_000;
const CALLS_ONLY = { requests: undefined, tokens: undefined, maxConcurrency: 50 };
const quota = (change: Partial<Quota> = {}): Quota => ({ ...freshQuota(), ...change });
const rate = { perMinute: 600, burst: 10 };

test("calls may follow each other where only their number is limited", () => {
  expect(isLeasable(quota(), CALLS_ONLY, NOW)).toBe(true);
});

test.each([
  ["requests are limited", quota(), { ...CALLS_ONLY, requests: rate }],
  ["tokens are limited", quota(), { ...CALLS_ONLY, tokens: rate }],
  ["the quota rests", quota({ cooldownUntilMs: NOW + 1 }), CALLS_ONLY],
  ["it is still found how many calls are fine", quota(), { ...CALLS_ONLY, probes: true }],
])("not where %s", (_, state, limits) => {
  expect(isLeasable(state, limits, NOW)).toBe(false);
});

test("whoever else asks ends a lease, once; its holder hears of it", () => {
  const leases = new Leases();
  expect(leases.give("a", NOW)).toBe(LEASE_MS);
  expect(leases.end("a", NOW)).toEqual([]);
  leases.give("a", NOW);
  expect(leases.end("b", NOW + 10)).toEqual(["a"]);
  expect(leases.end("b", NOW + 10)).toEqual([]);
});

test("a lease that has run out needs no end", () => {
  const leases = new Leases();
  leases.give("a", NOW);
  expect(leases.end("b", NOW + LEASE_MS)).toEqual([]);
});
