import { describe, expect, it } from "vitest";
import { boundMs, type DrawnTask, idealQueueMs } from "./ideal.ts";

const task = (latencyMs: number, tokens = 0): DrawnTask => ({
  latencyMs,
  tokens,
  attempts: [{ holdsMs: latencyMs, thenWaitMs: 0 }],
});
const tasks = (count: number, latencyMs: number, tokens = 0) =>
  Array.from({ length: count }, () => task(latencyMs, tokens));

describe("boundMs", () => {
  it("is the sum of latencies over the lanes when these are short", () => {
    expect(boundMs(tasks(100, 200), { lanes: 10 })).toBe(2_000);
  });

  it("is the longest latency when one call outlasts the rest", () => {
    expect(boundMs([...tasks(10, 10), task(900)], { lanes: 5 })).toBe(900);
  });

  it("is calls over rate after the burst", () => {
    expect(boundMs(tasks(2_000, 1), { lanes: 50, rpm: 6_000, burst: 10 })).toBe(19_900);
  });

  it("takes a minute's worth for the burst that is not given, as the simulator does", () => {
    expect(boundMs(tasks(120, 1), { lanes: 50, rpm: 60 })).toBe(60_000);
  });

  it("is tokens over rate after the burst", () => {
    const ceilings = { lanes: 50, tpm: 60_000, tokenBurst: 1_000 };
    expect(boundMs(tasks(10, 1, 300), ceilings)).toBe(2_000);
  });

  it("is nothing for no tasks", () => {
    expect(boundMs([], { lanes: 1, rpm: 60, burst: 1 })).toBe(0);
  });
});

describe("idealQueueMs", () => {
  it("is the bound where all latencies are alike", () => {
    expect(idealQueueMs(tasks(100, 200), { lanes: 10 })).toBe(2_000);
  });

  it("gives each task, in order, to the lane that is free first", () => {
    const drawn = [task(300), task(100), task(100), task(400)];
    // The last one begins at 200, on the lane of the short ones.
    expect(idealQueueMs(drawn, { lanes: 2 })).toBe(600);
  });

  it("starts calls no sooner than the rate lets them in", () => {
    expect(idealQueueMs(tasks(12, 50), { lanes: 50, rpm: 6_000, burst: 10 })).toBeCloseTo(70);
  });

  it("tries a failed call again after the wait it was told, before tasks not begun", () => {
    const failing: DrawnTask = {
      latencyMs: 100,
      tokens: 0,
      attempts: [
        { holdsMs: 0, thenWaitMs: 150 },
        { holdsMs: 100, thenWaitMs: 0 },
      ],
    };
    // One lane: 0–100 and 100–200 the others, 200–300 the failed one, 300–400 the last.
    expect(idealQueueMs([failing, ...tasks(3, 100)], { lanes: 1 })).toBe(400);
    // Alone, its lane stands idle meanwhile.
    expect(idealQueueMs([failing], { lanes: 1 })).toBe(250);
  });

  it("counts a call that hangs for as long as it keeps its lane", () => {
    const hung: DrawnTask = {
      latencyMs: 10,
      tokens: 0,
      attempts: [
        { holdsMs: 2_000, thenWaitMs: 0 },
        { holdsMs: 10, thenWaitMs: 0 },
      ],
    };
    expect(idealQueueMs([hung, ...tasks(5, 10)], { lanes: 2 })).toBe(2_010);
  });

  it("is never below the bound", () => {
    const drawn = Array.from({ length: 300 }, (_, index) => task(1 + ((index * 7919) % 997)));
    const ceilings = { lanes: 17 };
    expect(idealQueueMs(drawn, ceilings)).toBeGreaterThanOrEqual(boundMs(drawn, ceilings));
  });
});
