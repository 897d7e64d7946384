import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type LaneNeed, pointersNeeded } from "../../src/core/lanes.ts";

const IDLE: LaneNeed = {
  ready: 100,
  running: 0,
  target: 50,
  lanes: 6,
  conversations: 0,
  outstanding: 0,
};

const need = fc.record({
  ready: fc.nat({ max: 1000 }),
  running: fc.nat({ max: 1000 }),
  target: fc.integer({ min: 1, max: 1000 }),
  lanes: fc.integer({ min: 1, max: 100 }),
  conversations: fc.nat({ max: 100 }),
  outstanding: fc.nat({ max: 100 }),
});

describe("pointersNeeded", () => {
  test("is one for each invocation that the calls allowed in flight take", () => {
    expect(pointersNeeded(IDLE)).toBe(9);
    expect(pointersNeeded({ ...IDLE, target: 48 })).toBe(8);
    expect(pointersNeeded({ ...IDLE, lanes: 50 })).toBe(1);
  });

  test("is no more than the work takes", () => {
    expect(pointersNeeded({ ...IDLE, ready: 1 })).toBe(1);
    expect(pointersNeeded({ ...IDLE, ready: 7 })).toBe(2);
  });

  test("is none without ready work, whatever runs", () => {
    expect(pointersNeeded({ ...IDLE, ready: 0 })).toBe(0);
    expect(pointersNeeded({ ...IDLE, ready: 0, running: 40 })).toBe(0);
    expect(pointersNeeded({ ...IDLE, ready: -1, running: 40 })).toBe(0);
  });

  test("counts conversations under way and pointers not yet picked up", () => {
    expect(pointersNeeded({ ...IDLE, conversations: 3 })).toBe(6);
    expect(pointersNeeded({ ...IDLE, conversations: 3, outstanding: 4 })).toBe(2);
    expect(pointersNeeded({ ...IDLE, conversations: 9 })).toBe(0);
    expect(pointersNeeded({ ...IDLE, conversations: 20, outstanding: 20 })).toBe(0);
  });

  test("adds invocations for ready work beside the calls that run", () => {
    const busy = { ...IDLE, ready: 6, running: 6, conversations: 1 };
    expect(pointersNeeded(busy)).toBe(1);
  });

  test("never wakes more invocations than there is work or room for", () => {
    fc.assert(
      fc.property(need, (given) => {
        const pointers = pointersNeeded(given);
        expect(pointers).toBeGreaterThanOrEqual(0);
        if (pointers === 0) return;
        const lanesBefore = (given.conversations + given.outstanding + pointers - 1) * given.lanes;
        expect(lanesBefore).toBeLessThan(given.target);
        expect(lanesBefore).toBeLessThan(given.running + given.ready);
      }),
    );
  });

  test("wakes enough of them for all ready work there is room for", () => {
    fc.assert(
      fc.property(need, (given) => {
        if (given.ready === 0) return;
        const lanes =
          (given.conversations + given.outstanding + pointersNeeded(given)) * given.lanes;
        expect(lanes).toBeGreaterThanOrEqual(Math.min(given.target, given.running + given.ready));
      }),
    );
  });
});
