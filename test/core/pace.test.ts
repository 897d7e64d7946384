import { describe, expect, test } from "vitest";
import { type Played, type Run, runAgainst } from "../support/quota-town.ts";

/** Nobody said what the upstream allows. */
const UNKNOWN = { maxConcurrency: 50, probes: true };

const sum = (counts: readonly number[]) => counts.reduce((all, one) => all + one, 0);
/** Answers a second from one second to another. */
const rate = ({ answered }: Run, from: number, to: number) =>
  sum(answered.slice(from, to)) / (to - from);
const refusals = ({ refused }: Run, from: number, to?: number) => sum(refused.slice(from, to));

const run = (played: Played, seconds: number) =>
  runAgainst(played, UNKNOWN, { seconds, lanes: 50 });
const hundred = { perSecond: () => 100, burst: 10, latencyMs: () => 100 };

describe("a limit that headers tell", () => {
  const told = run({ ...hundred, tells: true }, 60);
  test("is used to 95 % from the second answer on", () => {
    expect(rate(told, 1, 60)).toBeGreaterThan(95);
  });
  test("is never gone over", () => {
    expect(refusals(told, 0)).toBe(0);
  });
  test("that is small beside its burst is kept, too", () => {
    const small = run({ perSecond: () => 8, burst: 500, latencyMs: () => 300, tells: true }, 120);
    expect(refusals(small, 0)).toBe(0);
    expect(rate(small, 10, 120)).toBeGreaterThan(8 * 0.95);
  });
});

describe("a limit that only 429s tell", () => {
  test.each([
    ["without a word of when to come back", undefined],
    ["that say to come back in 10 ms", 10],
    ["that say to come back in a second", 1_000],
  ])("%s: 95 % of it within 10 s of the first", (_, retryAfterMs) => {
    const found = run({ ...hundred, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }, 120);
    expect(rate(found, 10, 120)).toBeGreaterThan(95);
    // Finding it costs some; then under half a percent.
    expect(refusals(found, 0, 15)).toBeLessThan(60);
    expect(refusals(found, 15) / sum(found.answered.slice(15))).toBeLessThan(0.005);
  });
  test("is found when it is small, behind a burst of a minute", () => {
    const found = run({ perSecond: () => 8, burst: 500, latencyMs: () => 300 }, 120);
    expect(rate(found, 20, 120)).toBeGreaterThan(8 * 0.95);
    expect(refusals(found, 30) / sum(found.answered.slice(30))).toBeLessThan(0.03);
  });
  test("is found anew within a minute when it is doubled", () => {
    const raised = run({ ...hundred, perSecond: (ms) => (ms < 60_000 ? 100 : 200) }, 180);
    expect(rate(raised, 130, 180)).toBeGreaterThan(190);
  });
  test("is found anew within 20 s when it is halved", () => {
    const cut = run({ ...hundred, perSecond: (ms) => (ms < 60_000 ? 100 : 50) }, 140);
    expect(rate(cut, 80, 140)).toBeGreaterThan(47);
    expect(refusals(cut, 80) / sum(cut.answered.slice(80))).toBeLessThan(0.02);
  });
  test("is found when it is one of calls in flight", () => {
    const found = run({ concurrency: 20, latencyMs: () => 500 }, 120);
    expect(rate(found, 60, 120)).toBeGreaterThan(40 * 0.93);
    expect(refusals(found, 60) / sum(found.answered.slice(60))).toBeLessThan(0.01);
  });
});

describe("429s that have nothing to do with a limit", () => {
  /** Lognormal with sigma 0.5, drawn from the call's number. */
  const latencyMs = (n: number) =>
    200 * Math.exp(0.5 * (((n * 2_654_435_761) % 1_000) / 294 - 1.7));
  const lanes = 50;
  const undisturbed = runAgainst({ latencyMs }, { maxConcurrency: 50 }, { seconds: 60, lanes });
  test("slow nothing down for long, and rest nobody", () => {
    const some = { latencyMs, fault: (n: number) => n % 50 === 7, retryAfterMs: 1_000 };
    const disturbed = runAgainst(some, { maxConcurrency: 50 }, { seconds: 60, lanes });
    expect(sum(disturbed.answered)).toBeGreaterThan(sum(undisturbed.answered) * 0.95);
  });
});

describe("a 429 with nothing else known", () => {
  test("rests the quota: the next call waits for as long as it said", () => {
    const first = { latencyMs: () => 50, fault: (n: number) => n === 1, retryAfterMs: 1_500 };
    const alone = runAgainst(first, { maxConcurrency: 1 }, { seconds: 3, lanes: 1 });
    expect(alone.answered.slice(0, 1)).toEqual([0]);
    expect(sum(alone.answered)).toBeGreaterThan(20);
  });
});
