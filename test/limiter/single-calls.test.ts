import { describe, expect, test } from "vitest";
import type { UpstreamLimits } from "../../src/core/limits.ts";
import { type AcquireRequest, singleCallRef } from "../../src/limiter/acquire.ts";
import { LimiterEngine } from "../../src/limiter/engine.ts";
import { migrations } from "../../src/limiter/schema.ts";
import { LimiterStore } from "../../src/limiter/store.ts";
import type { BatchRef } from "../../src/wire/messages.ts";
import { SqliteFile } from "../simulation/sqlite.ts";
import { askFor } from "../support/ask.ts";

/** Single calls in the Limiter that were made so far. */
let made = 0;

class Stage {
  readonly #engine = new LimiterEngine(
    new LimiterStore(new SqliteFile(migrations).open((query) => query).sql),
  );
  readonly #limits: UpstreamLimits;
  nowMs = 1_800_000_000_000;

  constructor(limits: UpstreamLimits) {
    this.#limits = limits;
  }

  say(ref: BatchRef, want: number, rest: Partial<AcquireRequest> = {}) {
    const request = { ...askFor(ref.batch_id, want, rest), ref };
    return this.#engine.acquire(request, this.#limits, this.nowMs, 0.5);
  }

  ask(ref: BatchRef, want: number, rest: Partial<AcquireRequest> = {}) {
    return this.say(ref, want, rest).reply;
  }

  /** New single calls of a project, each of which asks once. */
  single(project: string, calls: number) {
    return Array.from({ length: calls }, () => {
      made += 1;
      const ref = singleCallRef(project, `${made}`);
      return { ref, ...this.ask(ref, 1) };
    });
  }
}

const BATCH: BatchRef = { project: "b", batch_id: "batch" };

describe("single calls that wait", () => {
  test("are so many and no more, and the others are told at once when to come again", () => {
    const stage = new Stage({ maxConcurrency: 1 });
    stage.ask(BATCH, 1);
    const asked = stage.single("a", 1_500);
    const turnedAway = asked.filter(({ crowded }) => crowded);
    expect(turnedAway).toHaveLength(1_000);
    for (const { startInMs, retryInMs } of turnedAway) {
      expect(startInMs).toEqual([]);
      expect(retryInMs).toBeGreaterThanOrEqual(5_000);
      expect(retryInMs).toBeLessThan(10_000);
    }
    // Those that wait may ask as often as they like.
    expect(stage.ask(asked[0]?.ref ?? BATCH, 1).crowded).toBeUndefined();
  });

  test("leave places to those of every other project", () => {
    const stage = new Stage({ maxConcurrency: 1 });
    stage.ask(BATCH, 1);
    const waiting = (project: string) =>
      stage.single(project, 1_500).filter(({ crowded }) => !crowded).length;
    expect([waiting("a"), waiting("c"), waiting("d")]).toEqual([500, 250, 125]);
    expect(stage.single("e", 1)[0]?.crowded).toBeUndefined();
  });

  test("take no place for longer than somebody is there who may ask for them", () => {
    const stage = new Stage({ maxConcurrency: 1 });
    stage.ask(BATCH, 1);
    stage.single("a", 1_500);
    stage.nowMs += 11_000;
    stage.ask(BATCH, 0, { held: 1 });
    expect(stage.single("a", 1)[0]?.crowded).toBeUndefined();
  });

  test("get a place that comes free in the order in which they came", () => {
    const stage = new Stage({ maxConcurrency: 1 });
    stage.ask(BATCH, 1);
    const [first] = stage.single("a", 1);
    stage.nowMs += 10;
    const [second] = stage.single("a", 1);
    if (first === undefined || second === undefined) throw new Error("two calls were made");
    expect(stage.say(BATCH, 0)).toMatchObject({ wake: [], turns: [first.ref] });
    expect(stage.ask(second.ref, 1).startInMs).toEqual([]);
    expect(stage.ask(first.ref, 1).startInMs).toEqual([0]);
    expect(stage.say(first.ref, 0).turns).toEqual([second.ref]);
  });
});

describe("the single calls of one project", () => {
  test("have together what a batch has, of the calls in flight", () => {
    const stage = new Stage({ maxConcurrency: 8 });
    const inFlight = stage.single("a", 50).slice(0, 8);
    // The batch has none, so what comes free is its own, until it has as many as they.
    expect(stage.ask(BATCH, 8).startInMs).toEqual([]);
    let held = 0;
    for (const { ref } of inFlight) {
      stage.nowMs += 10;
      const { wake, turns } = stage.say(ref, 0);
      if (wake.length > 0) held += stage.ask(BATCH, 8 - held, { held }).startInMs.length;
      for (const turn of turns) stage.ask(turn, 1);
    }
    expect(held).toBe(4);
  });

  test("have together what a batch has, of a rate, however short each of them is", () => {
    const stage = new Stage({ rpm: 600, burst: 1, maxConcurrency: 100 });
    stage.ask(BATCH, 10);
    const granted = { batch: 0, single: 0 };
    let calls = stage.single("a", 20);
    // Ten calls a second, for a minute; each has ended when the next one begins.
    for (let tick = 0; tick < 1_200; tick += 1) {
      stage.nowMs += 50;
      calls = calls.flatMap(({ ref, ...before }) => {
        const reply = stage.ask(ref, 1);
        if (reply.startInMs.length === 0) return [{ ref, ...before }];
        granted.single += 1;
        stage.say(ref, 0);
        return stage.single("a", 1);
      });
      granted.batch += stage.ask(BATCH, 10).startInMs.length;
    }
    const all = granted.batch + granted.single;
    expect(all).toBeGreaterThan(500);
    expect(granted.batch / all).toBeGreaterThan(0.4);
    expect(granted.batch / all).toBeLessThan(0.6);
  });

  test("do not stand before the first one of another project", () => {
    const stage = new Stage({ maxConcurrency: 4 });
    const many = stage.single("a", 100);
    stage.nowMs += 1_000;
    const [one] = stage.single("c", 1);
    const ended = many.find(({ startInMs }) => startInMs.length > 0);
    if (one === undefined || ended === undefined) throw new Error("some were granted");
    expect(stage.say(ended.ref, 0).turns).toEqual([one.ref]);
    expect(stage.ask(one.ref, 1).startInMs).toEqual([0]);
  });
});
