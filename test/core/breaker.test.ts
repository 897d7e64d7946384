import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  askAgainMs,
  type Breaker,
  callsAllowed,
  DOWN_AFTER,
  freshBreaker,
  heard,
  isDown,
  PROBE_FIRST_MS,
  PROBE_LOST_MS,
  PROBE_MAX_MS,
  probing,
} from "../../src/core/breaker.ts";

const T0 = 1_000_000;
const broken = (count = 1, batch = "a") => ({ batch, alive: 0, broken: count, held: 1 });
const alive = (batch = "a") => ({ batch, alive: 1, broken: 0, held: 1 });

/** An upstream that went down at T0. */
const downAtT0 = (): Breaker => heard(freshBreaker(), broken(DOWN_AFTER), T0);

describe("an upstream goes down", () => {
  test(`after ${DOWN_AFTER} failures in a row, whoever's they are`, () => {
    let breaker = freshBreaker();
    for (let failed = 1; failed < DOWN_AFTER; failed += 1) {
      breaker = heard(breaker, broken(1, `batch-${failed}`), T0 + failed);
      expect(isDown(breaker)).toBe(false);
      expect(callsAllowed(breaker, T0 + failed)).toBe(Number.POSITIVE_INFINITY);
    }
    breaker = heard(breaker, broken(1, "last"), T0 + 100);
    expect(isDown(breaker)).toBe(true);
    // Since the first of them.
    expect(breaker.failingSinceMs).toBe(T0 + 1);
  });

  test("not while something is answered among them", () => {
    let breaker = freshBreaker();
    for (let round = 0; round < 10; round += 1) {
      breaker = heard(breaker, broken(DOWN_AFTER - 1), T0);
      breaker = heard(breaker, alive(), T0);
    }
    expect(breaker).toEqual(freshBreaker());
    expect(heard(breaker, { batch: "a", alive: 1, broken: 50, held: 1 }, T0)).toEqual(
      freshBreaker(),
    );
  });

  test("and an ask without news changes nothing", () => {
    const down = downAtT0();
    expect(heard(down, { batch: "a", alive: 0, broken: 0, held: 1 }, T0 + 1)).toBe(down);
  });
});

describe("while it is down", () => {
  test("a probe that was permitted and never made keeps nobody from the next one", () => {
    const atMs = T0 + PROBE_FIRST_MS;
    const out = probing(downAtT0(), "a", atMs);
    const tells = { batch: "a", alive: 0, broken: 0 };
    expect(callsAllowed(heard(out, { ...tells, held: 1 }, atMs + 1), atMs + 1)).toBe(0);
    expect(callsAllowed(heard(out, { ...tells, batch: "b", held: 0 }, atMs + 1), atMs + 1)).toBe(0);
    // Its batch has nothing in flight: it was paused, or its consumer is gone.
    expect(callsAllowed(heard(out, { ...tells, held: 0 }, atMs + 1), atMs + 1)).toBe(1);
  });

  test("nothing is called before the first pause is over, then one probe at a time", () => {
    const down = downAtT0();
    expect(callsAllowed(down, T0 + PROBE_FIRST_MS - 1)).toBe(0);
    expect(askAgainMs(down, T0 + 400)).toBe(PROBE_FIRST_MS - 400);
    const atMs = T0 + PROBE_FIRST_MS;
    expect(callsAllowed(down, atMs)).toBe(1);
    const out = probing(down, "a", atMs);
    expect(callsAllowed(out, atMs)).toBe(0);
    expect(callsAllowed(out, atMs + PROBE_LOST_MS - 1)).toBe(0);
  });

  test("pauses double with each probe that fails, up to a minute", () => {
    let breaker = downAtT0();
    let nowMs = T0;
    const pauses: number[] = [];
    for (let probe = 0; probe < 9; probe += 1) {
      const pauseMs = askAgainMs(breaker, nowMs);
      pauses.push(pauseMs);
      nowMs += pauseMs;
      expect(callsAllowed(breaker, nowMs)).toBe(1);
      breaker = heard(probing(breaker, "a", nowMs), broken(), nowMs + 10);
      nowMs += 10;
    }
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  test("failures of calls that are no probe change no pause", () => {
    const down = downAtT0();
    const later = heard(down, broken(40), T0 + 500);
    expect(later.probeAtMs).toBe(down.probeAtMs);
    const out = probing(later, "a", T0 + PROBE_FIRST_MS);
    expect(heard(out, broken(3, "b"), T0 + PROBE_FIRST_MS + 1).prober).toBe("a");
  });

  test("a probe that nothing is heard of makes room for the next", () => {
    const out = probing(downAtT0(), "a", T0 + PROBE_FIRST_MS);
    expect(callsAllowed(out, T0 + PROBE_FIRST_MS + PROBE_LOST_MS)).toBe(1);
  });

  test("one answer ends it, whoever's it is", () => {
    const out = probing(downAtT0(), "a", T0 + PROBE_FIRST_MS);
    expect(heard(out, alive("b"), T0 + 2_000)).toEqual(freshBreaker());
  });

  test("a clock that was an hour ahead keeps it down for no longer", () => {
    const ahead = heard(freshBreaker(), broken(DOWN_AFTER), T0 + 3_600_000);
    expect(callsAllowed(ahead, T0)).toBe(1);
    expect(callsAllowed(probing(downAtT0(), "a", T0 + 3_600_000), T0 + 2_000)).toBe(1);
  });
});

test("whatever happens, somebody may find out within the longest pause and a lost probe", () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 0, max: 100_000 }),
    batch: fc.constantFrom("a", "b"),
    alive: fc.integer({ min: 0, max: 1 }),
    broken: fc.integer({ min: 0, max: 6 }),
    held: fc.integer({ min: 0, max: 2 }),
    asks: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let breaker = freshBreaker();
      let nowMs = T0;
      for (const { afterMs, asks, ...signs } of steps) {
        nowMs += afterMs;
        breaker = heard(breaker, signs, nowMs);
        const may = callsAllowed(breaker, nowMs);
        if (signs.alive > 0) expect(may).toBe(Number.POSITIVE_INFINITY);
        if (asks && may === 1) breaker = probing(breaker, signs.batch, nowMs);
      }
      expect(callsAllowed(breaker, nowMs + PROBE_LOST_MS)).toBeGreaterThan(0);
      expect(PROBE_MAX_MS).toBeLessThanOrEqual(PROBE_LOST_MS);
    }),
  );
});
