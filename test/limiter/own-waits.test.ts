import { beforeEach, expect, test } from "vitest";
import { PROBE_LOST_MS } from "../../src/core/breaker.ts";
import type { UpstreamLimits } from "../../src/core/limits.ts";
import type { AcquireRequest } from "../../src/limiter/acquire.ts";
import { LimiterEngine } from "../../src/limiter/engine.ts";
import { migrations } from "../../src/limiter/schema.ts";
import { LimiterStore } from "../../src/limiter/store.ts";
import { SqliteFile } from "../simulation/sqlite.ts";

const LIMITS: UpstreamLimits = { maxConcurrency: 10 };
const HOUR_MS = 3_600_000;
/** The longest that a quota rests. */
const REST_MS = 15 * 60_000;

/** Batches named by their model and a number, before one quota's Limiter. */
class Stage {
  nowMs = 1_000_000;
  readonly decided: string[] = [];
  readonly #engine = new LimiterEngine(new LimiterStore(new SqliteFile(migrations).open().sql));
  readonly #held = new Map<string, number>();

  /** @returns how many calls it is granted, and when it is to come again. */
  ask(batch: string, want: number, change: Partial<AcquireRequest> = {}) {
    const request: AcquireRequest = {
      quota: "default",
      ref: { project: "p", batch_id: batch },
      model: batch.startsWith("several") ? "" : batch.slice(0, 1),
      held: this.#held.get(batch) ?? 0,
      weight: 10,
      costs: Array<number>(want).fill(1),
      ready: 0,
      served: true,
      extraTokens: 0,
      answered: false,
      ...change,
    };
    const { reply, decided } = this.#engine.acquire(request, LIMITS, this.nowMs, 0.5);
    this.#held.set(batch, (this.#held.get(batch) ?? 0) + reply.startInMs.length);
    for (const { event } of decided) this.decided.push(event);
    return { calls: reply.startInMs.length, retryInMs: reply.retryInMs, restsMs: reply.restsMs };
  }

  /** All calls of a batch end, so many of them with a 429 and a wait, or with an answer. */
  throttled(batch: string, afterMs = HOUR_MS) {
    this.#held.set(batch, 0);
    return this.ask(batch, 0, { throttled: { afterMs }, refused: 1 });
  }

  answered(batch: string) {
    this.#held.set(batch, 0);
    return this.ask(batch, 0, { answered: true, accepted: 1 });
  }
}

let stage: Stage;
beforeEach(() => {
  stage = new Stage();
  stage.ask("x1", 1);
});

test("another model finds out with one call whether it has to wait, too", () => {
  stage.throttled("x1");
  expect(stage.ask("m1", 5)).toEqual({ calls: 0, retryInMs: 1_000, restsMs: REST_MS });
  stage.nowMs += 1_000;
  expect(stage.ask("m1", 5).calls).toBe(1);
  expect(stage.ask("n1", 5)).toMatchObject({ calls: 0, retryInMs: 2_000 });
  stage.answered("m1");
  expect(stage.decided).toEqual(["quota_rests", "quota_wakes"]);
  expect(stage.ask("m1", 4).calls).toBe(4);
  expect(stage.ask("n1", 4).calls).toBe(4);
});

test("who was told to wait does so alone then, in all its batches", () => {
  stage.throttled("x1");
  stage.nowMs += 1_000;
  stage.ask("m1", 1);
  stage.answered("m1");
  for (const batch of ["x1", "x2"]) {
    const restsMs = REST_MS - 1_000;
    expect(stage.ask(batch, 3)).toEqual({ calls: 0, retryInMs: restsMs, restsMs });
  }
  // Its calls from before, and those after its wait, rest nobody else.
  stage.throttled("x2");
  expect(stage.ask("m1", 1).calls).toBe(1);
  stage.nowMs += REST_MS;
  stage.answered("m1");
  expect(stage.ask("x1", 3).calls).toBe(3);
  stage.throttled("x1");
  expect(stage.ask("m1", 1).calls).toBe(1);
  expect(stage.ask("x2", 1).calls).toBe(0);
});

test("a wait that is everybody's is found out after pauses that double, by one call each", () => {
  stage.throttled("x1");
  const startMs = stage.nowMs;
  const probesMs: number[] = [];
  for (const model of "abcdefgh") {
    const waitsMs = stage.ask(`${model}1`, 3).retryInMs ?? 0;
    stage.nowMs += waitsMs;
    expect(stage.ask(`${model}1`, 3).calls).toBe(1);
    probesMs.push(stage.nowMs - startMs);
    stage.throttled(`${model}1`);
    expect(stage.ask(`${model}1`, 3)).toMatchObject({ calls: 0 });
  }
  expect(probesMs).toEqual([1, 3, 7, 15, 31, 63, 123, 183].map((s) => s * 1_000));
  expect(stage.decided).not.toContain("quota_wakes");
});

test("a wait of a minute is kept by all", () => {
  stage.throttled("x1", 60_000);
  stage.nowMs += 30_000;
  expect(stage.ask("m1", 1)).toMatchObject({ calls: 0, restsMs: 30_000 });
});

test("another batch of the model that was told to wait does not try", () => {
  stage.throttled("x1");
  stage.nowMs += 10_000;
  expect(stage.ask("x2", 1).calls).toBe(0);
});

test("a batch of several models is told apart by itself", () => {
  stage.throttled("several1");
  stage.nowMs += 1_000;
  expect(stage.ask("several1", 1).calls).toBe(0);
  expect(stage.ask("several2", 1).calls).toBe(1);
});

test("answers to calls from before are no sign", () => {
  stage.ask("m1", 2);
  stage.throttled("x1");
  stage.nowMs += 5_000;
  expect(stage.ask("m1", 1)).toMatchObject({ calls: 0, retryInMs: 2_000 });
  stage.answered("m1");
  expect(stage.decided).toEqual(["quota_rests"]);
  expect(stage.ask("m1", 3).calls).toBe(1);
});

test("a probe that nothing is heard of is made again", () => {
  stage.throttled("x1");
  stage.nowMs += 1_000;
  expect(stage.ask("m1", 1).calls).toBe(1);
  stage.nowMs += PROBE_LOST_MS - 1;
  expect(stage.ask("n1", 1).calls).toBe(0);
  stage.nowMs += 1;
  expect(stage.ask("n1", 1).calls).toBe(1);
});

test("one whose answers come again is no longer taken for one that waits alone", () => {
  stage.throttled("x1");
  stage.nowMs += 1_000;
  stage.ask("m1", 1);
  stage.answered("m1");
  stage.nowMs += REST_MS;
  stage.ask("x1", 1);
  stage.answered("x1");
  stage.ask("x1", 1);
  stage.throttled("x1");
  expect(stage.ask("m1", 1).calls).toBe(0);
});
