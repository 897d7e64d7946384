import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { earliestMs } from "../../src/core/bucket.ts";
import {
  bucketOf,
  hear,
  inForce,
  lowered,
  nothingLearned,
  OPEN_FIRST,
  opened,
} from "../../src/core/learned.ts";
import { TokenBucket } from "../../src/simulator/token-bucket.ts";

const NOW_MS = 1_800_000_000_000;
const free = { requests: undefined, tokens: undefined, maxConcurrency: 50 };

describe("the bucket that a reading tells of", () => {
  test.each([
    ["OpenAI's, a minute", { limit: 500, remaining: 499, resetMs: 120 }, 500, 500],
    ["one of a day", { limit: 14_400, remaining: 14_370, resetMs: 180_000 }, 10, 14_400],
    ["one of a second", { limit: 20, remaining: 10, resetMs: 500 }, 1_200, 20],
    ["one that holds less than its limit", { limit: 6_000, remaining: 9, resetMs: 10 }, 6_000, 10],
    [
      "2,520 a second, of which one was taken",
      { limit: 151_201, remaining: 151_200, resetMs: 1 },
      151_201,
      151_201,
    ],
    ["one that is full", { limit: 60, remaining: 60, resetMs: 0 }, 60, 60],
  ])("%s", (_, reading, perMinute, burst) => {
    expect(bucketOf(reading)).toEqual({ perMinute, burst });
  });
  test("never allows more than the server's own, whatever its size and level", () => {
    const sizes = fc.record({
      perMinute: fc.integer({ min: 1, max: 1_000_000 }),
      burstPart: fc.double({ min: 0.01, max: 1, noNaN: true }),
      taken: fc.integer({ min: 1, max: 1_000 }),
    });
    fc.assert(
      fc.property(sizes, ({ perMinute, burstPart, taken }) => {
        const capacity = Math.max(1, Math.floor(perMinute * burstPart));
        const server = new TokenBucket(perMinute, capacity, 0);
        server.take(Math.min(taken, capacity), 0);
        const remaining = Math.floor(server.level(0));
        const resetMs = Math.ceil(server.resetMs(0));
        // Nobody could tell it from a limit a second; 429s do.
        const filledInASecond = remaining + (perMinute / 1_000) * resetMs;
        const slack = 1.5 + 0.02 * (perMinute - remaining);
        fc.pre(Math.abs(filledInASecond - perMinute) > slack);
        const told = bucketOf({ limit: perMinute, remaining, resetMs });
        expect(told.perMinute).toBe(perMinute);
        // Readings are whole, so the capacity is known to within a unit or a fiftieth.
        expect(told.burst).toBeLessThanOrEqual(capacity * 1.02 + 2);
      }),
    );
  });
});

describe("the limits in force", () => {
  const told = { requests: { limit: 600, remaining: 599, resetMs: 100 } };
  test("are just below what headers told", () => {
    const { requests } = inForce(free, hear(nothingLearned(), told, 1, NOW_MS));
    expect(requests?.perMinute).toBeCloseTo(594);
    expect(requests?.burst).toBe(597);
  });
  test("are the configured ones where these are stricter", () => {
    const configured = { ...free, requests: { perMinute: 60, burst: 1 } };
    const learned = hear(nothingLearned(), told, 1, NOW_MS);
    expect(inForce(configured, learned).requests).toEqual({ perMinute: 60, burst: 1 });
  });
  test("follow a limit that is raised or lowered", () => {
    let learned = hear(nothingLearned(), told, 1, NOW_MS);
    learned = hear(learned, { requests: { limit: 60, remaining: 9, resetMs: 51_000 } }, 1, NOW_MS);
    expect(inForce(free, learned).requests?.perMinute).toBeCloseTo(59.4);
  });
  test("a full bucket does not unlearn a window", () => {
    const day = { requests: { limit: 14_400, remaining: 14_370, resetMs: 180_000 } };
    const full = { requests: { limit: 14_400, remaining: 14_400, resetMs: 0 } };
    const learned = hear(hear(nothingLearned(), day, 1, NOW_MS), full, 1, NOW_MS);
    expect(learned.requests?.perMinute).toBe(10);
  });
  test("a full bucket tells a limit that is another than before, in the same window", () => {
    const day = { requests: { limit: 14_400, remaining: 14_370, resetMs: 180_000 } };
    const raised = { requests: { limit: 144_000, remaining: 144_000, resetMs: 0 } };
    const { requests } = hear(hear(nothingLearned(), day, 1, NOW_MS), raised, 1, NOW_MS);
    expect(requests).toEqual({ perMinute: 100, burst: 144_000, limit: 144_000 });
  });
  test("a full bucket leaves one whose limit was not kept as it is", () => {
    const known = { perMinute: 6_000, burst: 10 };
    const full = { requests: { limit: 6_000, remaining: 6_000, resetMs: 0 } };
    const { requests } = hear({ ...nothingLearned(), requests: known }, full, 1, NOW_MS);
    expect(requests).toEqual({ ...known, limit: 6_000 });
  });
  test("are forgotten when answers have said nothing of them for ten minutes", () => {
    const learned = hear(nothingLearned(), told, 1, NOW_MS);
    const later = (answered: number, ms: number) => hear(learned, undefined, answered, NOW_MS + ms);
    expect(later(1, 600_000).requests).not.toBeNull();
    expect(later(0, 600_001).requests).not.toBeNull();
    expect(later(1, 600_001).requests).toBeNull();
  });
});

describe("calls in flight that nobody named", () => {
  const probing = { ...free, probes: true };
  test("begin with a few", () => {
    expect(inForce(probing, nothingLearned()).maxConcurrency).toBe(OPEN_FIRST);
  });
  test("become more with each answer while they are what holds calls back, up to all", () => {
    let learned = opened(nothingLearned(), 0, true, 50);
    learned = opened(learned, 10, true, 50);
    expect(inForce(probing, learned).maxConcurrency).toBe(20);
    learned = opened(learned, 1_000, true, 50);
    expect(inForce(probing, learned).maxConcurrency).toBe(50);
  });
  test("stay where they are while nothing waits for them", () => {
    expect(opened(nothingLearned(), 10, false, 50).open).toBe(OPEN_FIRST);
  });
  test("are all there once a rate is known, or when they were configured", () => {
    const told = { requests: { limit: 600, remaining: 599, resetMs: 100 } };
    expect(inForce(probing, hear(nothingLearned(), told, 1, NOW_MS)).maxConcurrency).toBe(50);
    expect(inForce(free, nothingLearned()).maxConcurrency).toBe(50);
  });
});

describe("a bucket that others drain, too", () => {
  const limits = { perMinute: 60, burst: 10 };
  const reading = { limit: 60, remaining: 2, resetMs: 8_000 };
  test("holds no more than remained, and what has come in since", () => {
    const state = lowered({ tatMs: 0 }, limits, reading, 1_000, NOW_MS);
    // Two, and one more that came in while the call took a second.
    expect(earliestMs(state, limits, 3, NOW_MS)).toBe(NOW_MS);
    expect(earliestMs(state, limits, 4, NOW_MS)).toBe(NOW_MS + 1_000);
  });
  test("is never fuller for it", () => {
    const empty = { tatMs: NOW_MS + 10_000 };
    expect(lowered(empty, limits, reading, 60_000, NOW_MS)).toEqual(empty);
  });
});
