import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { UpstreamLimits } from "../../src/core/limits.ts";
import { LimiterEngine } from "../../src/limiter/engine.ts";
import { LimiterStore } from "../../src/limiter/store.ts";
import { limiterStub } from "../../src/stubs.ts";
import { ended, look, outputLines, post, unique, until } from "../support/worker/client.ts";
import {
  callsOf,
  deliver,
  HOUR_MS,
  pointerTo,
  say,
  TASKS_QUEUE,
} from "../support/worker/faults.ts";
import { newBatch, plant, report, stubOf, tamper } from "../support/worker/store.ts";

const BYTES = 1_000_000;
const NOTHING = () => undefined;

const OFF = [
  ["an hour ahead", HOUR_MS],
  ["an hour behind", -HOUR_MS],
] as const;

describe("a batch whose rows were written by a clock that was", () => {
  it.each(OFF)("%s takes back the tasks of a consumer that is gone", async (_, offMs) => {
    const batch = newBatch();
    const prompts = [unique("held"), unique("free")];
    await plant(batch, prompts, (store) => {
      store.holders.seen("ghost", Date.now() + offMs);
      store.tasks.claim(1, "ghost", BYTES, Date.now() + offMs);
    });
    await stubOf(batch).poke();
    expect((await ended(batch.batch_id)).request_counts).toMatchObject({ completed: 2 });
    expect(await callsOf(prompts)).toEqual([1, 1]);
  });

  it.each(OFF)("%s keeps a consumer that is still heard", async (_, offMs) => {
    const batch = newBatch();
    await plant(batch, [unique("heard")], (store) => {
      store.tasks.claim(1, "h", BYTES, Date.now() + offMs);
      store.holders.seen("h", Date.now() + offMs);
    });
    const reports = [report(0, 1, { kind: "succeeded" })];
    await say(batch, { holder: "h", reports });
    expect((await ended(batch.batch_id)).request_counts).toMatchObject({ completed: 1 });
    expect(JSON.stringify(await outputLines(batch.batch_id))).toContain('"attempt":1');
  });

  it("an hour ahead has its alarm set anew when a pointer comes", async () => {
    const batch = newBatch();
    await plant(batch, [unique("alarm")], (_, { storage }) =>
      storage.setAlarm(Date.now() + HOUR_MS),
    );
    await deliver(TASKS_QUEUE, pointerTo(batch));
    expect((await ended(batch.batch_id)).status).toBe("completed");
  });

  it("an hour behind calls tasks that waited for their retry at once", async () => {
    const batch = newBatch();
    await plant(batch, [unique("parked")], (store) => {
      store.tasks.claim(1, "h", BYTES, Date.now() - HOUR_MS);
      store.tasks.requeue("h", [], Date.now() - HOUR_MS);
    });
    await stubOf(batch).poke();
    expect((await ended(batch.batch_id)).request_counts).toMatchObject({ completed: 1 });
  });

  it("an hour ahead still calls the tasks that were never tried", async () => {
    const batch = newBatch();
    await plant(batch, [unique("parked ahead"), unique("fresh"), unique("fresh")], (store) => {
      store.tasks.claim(1, "h", BYTES, Date.now() + HOUR_MS);
      store.tasks.requeue("h", [], Date.now() + HOUR_MS);
    });
    await stubOf(batch).poke();
    const seen = await until(
      () => look(batch.batch_id),
      ({ request_counts }) => request_counts.completed === 2,
    );
    // Nobody can tell a wrong clock from an upstream that asked for an hour: that one waits.
    expect(seen.muster.counts).toMatchObject({ pending: 1, running: 0 });
    await stubOf(batch).cancel();
    await ended(batch.batch_id);
  });
});

describe("a Limiter whose rows were written by a clock that was", () => {
  const limits: UpstreamLimits = { rpm: 600, tpm: 6_000, burst: 10, maxConcurrency: 5 };
  const ask = (batch: string, want: number) => ({
    quota: "default",
    weight: 10,
    ref: { project: "default", batch_id: batch },
    held: 0,
    costs: Array.from({ length: want }, () => 10),
    ready: 1,
    served: true,
    extraTokens: 0,
    answered: false,
  });

  /** A Limiter's engine over rows of its own. */
  function withRows<R>(
    rows: { offMs: number; held?: number; cooldown?: boolean; tat?: boolean },
    then: (engine: LimiterEngine, nowMs: number) => R,
  ): Promise<R> {
    const stub = limiterStub(env, `clock-${crypto.randomUUID()}`);
    return runInDurableObject(stub, (_, { storage }) => {
      const nowMs = Date.now();
      const thenMs = nowMs + rows.offMs;
      storage.sql.exec(
        "INSERT INTO quota (id, requests_tat, tokens_tat, cooldown_until, throttles, asked_at) VALUES (1, ?, ?, ?, 0, ?)",
        rows.tat ? thenMs : 0,
        rows.tat ? thenMs : 0,
        rows.cooldown ? thenMs : 0,
        nowMs,
      );
      if (rows.held !== undefined) {
        storage.sql.exec(
          "INSERT INTO hold (batch, held, unmet, unmet_cost, waiting_since, seen_at) VALUES ('default/gone', ?, 0, 0, ?, ?)",
          rows.held,
          thenMs,
          thenMs,
        );
      }
      return then(new LimiterEngine(new LimiterStore(storage.sql)), nowMs);
    });
  }

  it.each(OFF)("%s does not keep calls for a batch that is gone", async (_, offMs) => {
    await withRows({ offMs, held: 5 }, (engine, nowMs) => {
      expect(engine.acquire(ask("here", 5), limits, nowMs, 0.5).reply.startInMs).toHaveLength(5);
    });
  });

  it.each(OFF)("%s lets its buckets fill again in their own time", async (_, offMs) => {
    await withRows({ offMs, tat: true }, (engine, nowMs) => {
      let waitedMs = 0;
      let given = 0;
      while (given === 0 && waitedMs < HOUR_MS) {
        const { reply: grant } = engine.acquire(
          ask("here", 1),
          { ...limits, tpm: undefined },
          nowMs + waitedMs,
          0.5,
        );
        given = grant.startInMs.length;
        waitedMs += grant.retryInMs ?? 0;
      }
      expect(given).toBe(1);
      expect(waitedMs).toBeLessThan(60_000);
    });
  });

  it("an hour ahead rests no longer than the longest cooldown, a quarter of an hour", async () => {
    await withRows({ offMs: HOUR_MS, cooldown: true }, (engine, nowMs) => {
      const { reply: first } = engine.acquire(ask("here", 1), limits, nowMs, 0.5);
      expect(first.startInMs).toEqual([]);
      expect(first.retryInMs).toBeLessThanOrEqual(HOUR_MS / 4);
      const { reply: later } = engine.acquire(ask("here", 1), limits, nowMs + HOUR_MS / 4, 0.5);
      expect(later.startInMs).toHaveLength(1);
    });
  });

  it("an hour behind does not rest at all", async () => {
    await withRows({ offMs: -HOUR_MS, cooldown: true }, (engine, nowMs) => {
      expect(engine.acquire(ask("here", 1), limits, nowMs, 0.5).reply.startInMs).toHaveLength(1);
    });
  });
});

describe("a window that is over", () => {
  /** Ends a planted batch's window. */
  const end = (batch: ReturnType<typeof newBatch>) =>
    tamper(stubOf(batch), "UPDATE batch SET expires_at = ?", Date.now() - 1);

  it("while a call is in flight keeps the answer that comes in, and expires the rest", async () => {
    const batch = newBatch();
    const prompts = [unique("in flight"), unique("too late"), unique("too late")];
    await plant(batch, prompts, NOTHING);
    expect((await say(batch, { holder: "h", want: 1 })).tasks).toHaveLength(1);
    await end(batch);
    await stubOf(batch).poke();
    await until(
      async () => {
        await say(batch, { holder: "h", holding: [{ seq: 0, attempt: 1 }] });
        return look(batch.batch_id);
      },
      ({ muster }) => muster.counts.expired === 2,
    );
    expect(await look(batch.batch_id)).toMatchObject({
      status: "in_progress",
      muster: { counts: { running: 1 } },
    });
    await say(batch, { holder: "h", reports: [report(0, 1, { kind: "succeeded" })] });
    const over = await ended(batch.batch_id);
    expect(over).toMatchObject({
      status: "expired",
      muster: { counts: { succeeded: 1, expired: 2, pending: 0, running: 0 } },
    });
    expect(over.output_file_id).not.toBeNull();
    expect(over.error_file_id).not.toBeNull();
    expect(await callsOf(prompts)).toEqual([0, 0, 0]);
  });

  it("while a call is in flight that then fails does not try it again", async () => {
    const batch = newBatch();
    const prompt = unique("fails late");
    await plant(batch, [prompt], NOTHING);
    await say(batch, { holder: "h", want: 1 });
    await end(batch);
    await say(batch, { holder: "h", want: 1, reports: [report(0, 1, { kind: "retry" })] });
    await stubOf(batch).poke();
    const over = await ended(batch.batch_id);
    expect(over).toMatchObject({ status: "expired", muster: { counts: { expired: 1 } } });
    expect(await callsOf([prompt])).toEqual([0]);
  });

  it("while the consumer of a call is lost expires its task", async () => {
    const batch = newBatch({ expires_at: Date.now() - 1 });
    await plant(batch, [unique("lost late")], (store) => {
      store.holders.seen("ghost", Date.now() - HOUR_MS);
      store.tasks.claim(1, "ghost", BYTES, Date.now() - HOUR_MS);
    });
    await stubOf(batch).poke();
    expect(await ended(batch.batch_id)).toMatchObject({
      status: "expired",
      muster: { counts: { expired: 1, running: 0 } },
    });
  });

  it("while the batch is paused expires it all the same", async () => {
    const batch = newBatch();
    await plant(batch, [unique("paused"), unique("paused")], NOTHING);
    expect((await post(`/v1/batches/${batch.batch_id}/pause`, "")).status).toBe(200);
    await end(batch);
    await stubOf(batch).poke();
    expect(await ended(batch.batch_id)).toMatchObject({
      status: "expired",
      muster: { counts: { expired: 2 } },
    });
  });
});
