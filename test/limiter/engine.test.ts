import { describe, expect, test } from "vitest";
import { PROBE_FIRST_MS } from "../../src/core/breaker.ts";
import { type AcquireRequest, singleCallRef } from "../../src/limiter/acquire.ts";
import { LimiterEngine } from "../../src/limiter/engine.ts";
import { migrations } from "../../src/limiter/schema.ts";
import { LimiterStore } from "../../src/limiter/store.ts";
import { SqliteFile } from "../simulation/sqlite.ts";
import { askFor } from "../support/ask.ts";

const LIMITS = { maxConcurrency: 10 };
const T0 = 1_000_000;

class Stage {
  readonly #engine = new LimiterEngine(
    new LimiterStore(new SqliteFile(migrations).open((query) => query).sql),
  );
  nowMs = T0;

  ask(batch_id: string, want: number, rest: Partial<AcquireRequest> = {}) {
    const request = askFor(batch_id, want, { elsewhere: "probe", ...rest });
    return this.#engine.acquire(request, LIMITS, this.nowMs, 0.5).reply;
  }

  state() {
    return this.#engine.state(LIMITS);
  }
}

describe("batches that have no call in flight and want none", () => {
  test("get no lease, and wake nobody by looking", () => {
    const engine = new LimiterEngine(
      new LimiterStore(new SqliteFile(migrations).open((query) => query).sql),
    );
    const look = (name: string, want = 0, held = 0) =>
      engine.acquire(askFor(name, want, { takesLease: true, held }), LIMITS, T0, 0.5);
    expect(look("a")).toMatchObject({ wake: [], reply: { leaseMs: 0 } });
    expect(look("b")).toMatchObject({ wake: [], reply: { leaseMs: 0 } });
    // One that calls has a lease, which ends by another one that does.
    expect(look("a", 2)).toMatchObject({ wake: [], reply: { leaseMs: 1_000 } });
    expect(look("b")).toMatchObject({ wake: [] });
    expect(look("b", 1)).toMatchObject({ wake: [{ batch_id: "a" }], reply: { leaseMs: 0 } });
  });
});

describe("a single call that waits", () => {
  test("is neither woken nor invited to: it asks again by itself, and nobody is behind it", () => {
    const engine = new LimiterEngine(
      new LimiterStore(new SqliteFile(migrations).open((query) => query).sql),
    );
    const { batch_id: single } = singleCallRef("p", "1");
    const acquire = (name: string, want: number, rest: Partial<AcquireRequest>, nowMs: number) =>
      engine.acquire(askFor(name, want, rest), { maxConcurrency: 2 }, nowMs, 0.5);
    acquire("a", 2, { ready: 50 }, T0);
    acquire(single, 1, {}, T0);
    const asked = acquire("a", 1, { held: 1, ready: 50 }, T0 + 300);
    expect(asked).toMatchObject({ wake: [], reply: { startInMs: [], invite: null } });
    // But it may listen for its turn.
    expect(asked.turns).toEqual([{ project: "default", batch_id: single }]);
    // The call that came free is its own.
    expect(acquire(single, 1, {}, T0 + 310).reply.startInMs).toHaveLength(1);
  });
});

describe("an upstream that is down", () => {
  test("gets one probe at a time, from whoever asks first", () => {
    const stage = new Stage();
    expect(stage.ask("a", 3, { broken: 5 }).startInMs).toEqual([]);
    stage.nowMs += PROBE_FIRST_MS;
    expect(stage.ask("b", 4)).toMatchObject({ startInMs: [0], down: true, blockedBy: "rate" });
    expect(stage.ask("a", 3).startInMs).toEqual([]);
    // The probe failed; the next pause is longer.
    expect(stage.ask("b", 4, { broken: 1 }).retryInMs).toBe(2 * PROBE_FIRST_MS);
    stage.nowMs += 2 * PROBE_FIRST_MS;
    expect(stage.ask("a", 3).startInMs).toHaveLength(1);
  });

  test("keeps no calls for those that go another way", () => {
    const stage = new Stage();
    stage.ask("a", 3, { broken: 5, ready: 50 });
    expect(stage.state()).toMatchObject({ waiting: 0, batches: 0, downSinceMs: T0 });
  });

  test("gets no probe of a call that is not repeated", () => {
    const stage = new Stage();
    stage.ask("a", 3, { broken: 5 });
    stage.nowMs += PROBE_FIRST_MS;
    expect(stage.ask("call", 1, { elsewhere: "avoid" }).startInMs).toEqual([]);
    expect(stage.ask("a", 3).startInMs).toHaveLength(1);
  });

  test("tells who only tells nothing of when to ask", () => {
    const stage = new Stage();
    stage.ask("a", 0, { broken: 5 });
    expect(stage.ask("a", 0)).toMatchObject({ retryInMs: null, blockedBy: null, down: true });
  });

  test("holds nobody back who has no other way, and hears from them that it is back", () => {
    const stage = new Stage();
    stage.ask("a", 3, { broken: 5 });
    expect(stage.ask("alone", 3, { elsewhere: undefined })).toMatchObject({
      startInMs: [0, 0, 0],
      retryInMs: null,
    });
    stage.ask("alone", 0, { elsewhere: undefined, alive: 1 });
    expect(stage.ask("a", 3).startInMs).toHaveLength(3);
    expect(stage.state().downSinceMs).toBeNull();
  });

  test("is asked for its probe only when a call is free", () => {
    const stage = new Stage();
    stage.ask("full", 10, { elsewhere: undefined });
    stage.ask("a", 3, { broken: 5 });
    stage.nowMs += PROBE_FIRST_MS;
    expect(stage.ask("a", 3).startInMs).toEqual([]);
    // No probe is out then.
    stage.ask("full", 0, { elsewhere: undefined });
    expect(stage.ask("a", 3).startInMs).toHaveLength(1);
  });
});

test("a quota that rests says for how long", () => {
  const stage = new Stage();
  expect(stage.ask("a", 1).restsMs).toBeUndefined();
  stage.ask("a", 0, { throttled: { afterMs: 30_000 }, refused: 1 });
  expect(stage.ask("b", 1).restsMs).toBe(30_000);
});
