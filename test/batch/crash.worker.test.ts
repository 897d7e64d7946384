import { abortAllDurableObjects, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it } from "vitest";
import type { Assignment } from "../../src/batch/exchange.ts";
import type { NewBatch } from "../../src/batch/store/batch-row.ts";
import type { World } from "../../src/batch/world.ts";
import { readConfig } from "../../src/config.ts";
import { callUpstream } from "../../src/consumer/call.ts";
import { limiterStub } from "../../src/stubs.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import { callGround } from "../support/call-ground.ts";
import {
  chatLine,
  ended,
  look,
  open,
  outputLines,
  results,
  unique,
  until,
  upload,
} from "../support/worker/client.ts";
import {
  callsOf,
  deliver,
  drive,
  pointerTo,
  SILENCE,
  say,
  TASKS_QUEUE,
  taskOf,
} from "../support/worker/faults.ts";
import { chat, newBatch, plant, report, stubOf } from "../support/worker/store.ts";

const BYTES = 1_000_000;
const NOTHING = () => undefined;
const longAgo = () => Date.now() - 60_000;

/** The worker tests' upstream allows so many calls in flight; see wrangler.toml. */
const LIMIT = 50;

/** Calls the upstream as a consumer does. */
function callOnce(prompt: string) {
  const { upstreams } = readConfig(env);
  const body = chat(prompt);
  const task: Assignment = { seq: 0, attempt: 1, upstream: "default", body, startInMs: 0 };
  return callUpstream(task, "/v1/chat/completions", upstreams[0], callGround());
}

/** A batch of one task that a consumer took and was lost with. */
async function plantLost(prompt: string, change: Partial<NewBatch> = {}): Promise<NewBatch> {
  const batch = newBatch(change);
  await plant(batch, [prompt], (store) => {
    store.holders.seen("ghost", longAgo());
    store.tasks.claim(1, "ghost", BYTES, longAgo());
  });
  return batch;
}

/** A batch as it stands, also while its object is being aborted. */
async function lookThrough(id: string): Promise<BatchObject | undefined> {
  try {
    return await look(id);
  } catch {
    return undefined;
  }
}

async function endedThrough(id: string): Promise<BatchObject> {
  await until(
    () => lookThrough(id),
    (seen) => seen !== undefined && ["completed", "expired", "cancelled"].includes(seen.status),
  );
  return look(id);
}

describe("a consumer that is lost", () => {
  it("before its call costs the task nothing but time", async () => {
    const prompt = unique("lost before the call");
    const batch = await plantLost(prompt);
    await stubOf(batch).poke();
    expect((await ended(batch.batch_id)).request_counts).toMatchObject({ completed: 1 });
    expect(await callsOf([prompt])).toEqual([1]);
    expect((await taskOf(batch.batch_id)).attempts.map(({ result }) => result)).toEqual([
      "lost",
      "succeeded",
    ]);
  });

  it("between the call and its record has the call repeated, and one outcome recorded", async () => {
    const prompt = unique("lost after the call");
    const batch = await plantLost(prompt);
    expect((await callOnce(prompt)).verdict.kind).toBe("succeeded");
    await stubOf(batch).poke();
    expect((await ended(batch.batch_id)).request_counts).toEqual({
      total: 1,
      completed: 1,
      failed: 0,
    });
    expect(await callsOf([prompt])).toEqual([2]);
    expect(await outputLines(batch.batch_id)).toHaveLength(1);
  });

  it('between the call and its record with on_unknown "fail" has the task failed, not called again', async () => {
    const prompt = unique("pay once");
    const batch = await plantLost(prompt, { on_unknown: "fail" });
    await callOnce(prompt);
    await stubOf(batch).poke();
    expect((await ended(batch.batch_id)).request_counts).toMatchObject({ failed: 1 });
    expect((await outputLines(batch.batch_id))[0]).toMatchObject({
      response: null,
      error: { code: "outcome_unknown" },
    });
    expect((await results(batch.batch_id)).errors).toMatchObject([{ retry: true }]);
    expect(await callsOf([prompt])).toEqual([1]);
  });

  it("after the record and before the ack has its message redelivered to no effect", async () => {
    const prompt = unique("lost before the ack");
    const batch = newBatch();
    await plant(batch, [prompt], NOTHING);
    await deliver(TASKS_QUEUE, pointerTo(batch));
    await ended(batch.batch_id);
    const before = await outputLines(batch.batch_id);
    await deliver(TASKS_QUEUE, pointerTo(batch));
    expect(await outputLines(batch.batch_id)).toEqual(before);
    expect(await callsOf([prompt])).toEqual([1]);
  });

  it("after a record whose answer never reached it changes nothing by saying it again", async () => {
    const batch = newBatch();
    await plant(batch, [unique("said twice"), unique("other")], NOTHING);
    await say(batch, { holder: "h", want: 1 });
    const success = { holder: "h", reports: [report(0, 1, { kind: "succeeded" })] };
    await say(batch, success);
    const before = await outputLines(batch.batch_id);
    const failure = { holder: "h", reports: [report(0, 1, { kind: "failed" })] };
    await Promise.all([say(batch, success), say(batch, failure)]);
    expect(await outputLines(batch.batch_id)).toEqual(before);
    expect((await look(batch.batch_id)).request_counts).toMatchObject({ completed: 1, failed: 0 });
  });
});

describe("a Batch that is aborted", () => {
  it("again and again while it runs loses nothing, and repeats no recorded task", async () => {
    const prompts = Array.from({ length: 300 }, (_, n) => unique(`aborted ${n}`));
    const { id } = await open({ model: "m", prompts });
    let aborts = 0;
    for (const done of [1, 60, 120, 180]) {
      await until(
        () => lookThrough(id),
        (seen) => (seen?.request_counts.completed ?? 0) >= done,
      );
      await abortAllDurableObjects();
      aborts += 1;
    }
    const end = await endedThrough(id);
    expect(end.request_counts).toEqual({ total: 300, completed: 300, failed: 0 });
    const summary = await results(id);
    expect(summary.success.map(({ task_id }) => task_id)).toEqual(
      prompts.map((_, n) => `task-${n}`),
    );
    const calls = await callsOf(prompts);
    const repeated = calls.reduce((sum, count) => sum + count - 1, 0);
    expect(Math.min(...calls)).toBe(1);
    expect(repeated).toBeLessThanOrEqual(aborts * LIMIT);
  });

  it("while it reads its file reads on, and every line becomes one task", async () => {
    const prompts = Array.from({ length: 4_000 }, (_, n) => unique(`line ${n} ${"x".repeat(500)}`));
    const file = await upload(prompts.map((prompt, n) => chatLine(`c${n}`, prompt)).join("\n"));
    const { id } = await open({
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    const counts: number[] = [];
    for (let n = 0; n < 3; n += 1) {
      await abortAllDurableObjects();
      const seen = await until(
        () => lookThrough(id),
        (one) => one !== undefined,
      );
      counts.push(seen?.request_counts.total ?? 0);
    }
    const started = await until(
      () => lookThrough(id),
      (seen) => seen?.status === "in_progress" || seen?.status === "completed",
    );
    expect(started?.request_counts.total).toBe(4_000);
    expect(Math.max(...counts)).toBeLessThanOrEqual(4_000);
    await stubOf(newBatch({ batch_id: id })).cancel();
    expect((await endedThrough(id)).request_counts.total).toBe(4_000);
  });

  it("while it is cancelling ends cancelled, with a line for every task", async () => {
    const prompts = Array.from({ length: 500 }, (_, n) => unique(`cancelled ${n}`));
    const { id } = await open({ model: "m", prompts, max_concurrency: 2 });
    await until(
      () => look(id),
      ({ request_counts }) => request_counts.completed > 0,
    );
    await stubOf(newBatch({ batch_id: id })).cancel();
    await abortAllDurableObjects();
    const { status, muster } = await endedThrough(id);
    expect(status).toBe("cancelled");
    expect(muster.counts.succeeded + muster.counts.cancelled).toBe(500);
    expect(await outputLines(id)).toHaveLength(500);
  });

  it("after its last outcome and before its end ends, and announces it", async () => {
    const batch = newBatch();
    await plant(batch, [unique("finalizing")], (store) => {
      store.tasks.claim(1, "h", BYTES, Date.now());
      store.sql.exec("UPDATE task SET state = 'succeeded'");
      store.counts.add({ running: -1, succeeded: 1 });
      store.rows.stop("completed");
      store.rows.finalize(Date.now());
    });
    await abortAllDurableObjects();
    await stubOf(batch).poke();
    const end = await endedThrough(batch.batch_id);
    expect(end).toMatchObject({ status: "completed", muster: { counts: { succeeded: 1 } } });
    expect(end.muster.audit.outcomes_sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it("evicted between two exchanges of a conversation lets it go on with its claims", async () => {
    const batch = newBatch();
    await plant(batch, [unique("a"), unique("b")], NOTHING);
    await say(batch, { holder: "h", want: 1 });
    await evictDurableObject(stubOf(batch));
    const reply = await say(batch, {
      holder: "h",
      want: 1,
      reports: [report(0, 1, { kind: "succeeded" })],
    });
    expect(reply.tasks).toMatchObject([{ seq: 1, attempt: 1 }]);
    expect((await look(batch.batch_id)).muster.counts).toMatchObject({ succeeded: 1, running: 1 });
  });
});

describe("a Limiter that is lost", () => {
  const limiter = () => limiterStub(env, "default");
  const planted: NewBatch[] = [];
  // They would go on beside the tests that follow.
  afterEach(() => Promise.all(planted.splice(0).map((batch) => stubOf(batch).cancel())));
  const prompts = (count: number) => Array.from({ length: count }, () => unique("permit"));
  const has = (count: number) => Array.from({ length: count }, (_, seq) => ({ seq, attempt: 1 }));

  /** The Limiter knows of no batch and no call, as if its storage was new. */
  async function forget(): Promise<void> {
    await runInDurableObject(limiter(), (_, state) => {
      state.storage.sql.exec("DELETE FROM hold");
      state.storage.sql.exec("DELETE FROM quota");
    });
    await evictDurableObject(limiter());
  }

  /** A batch with all permits of its upstream out, and another one of the same upstream. */
  async function plantTwo(): Promise<[NewBatch, NewBatch]> {
    await forget();
    const [first, second] = [newBatch(), newBatch()];
    planted.push(first, second);
    await plant(first, prompts(LIMIT), NOTHING);
    await plant(second, prompts(LIMIT), NOTHING);
    expect((await say(first, { holder: "h", want: LIMIT })).tasks).toHaveLength(LIMIT);
    return [first, second];
  }

  it("by eviction, with its permits out, permits no call beyond the limit", async () => {
    const [first, second] = await plantTwo();
    await evictDurableObject(limiter());
    expect((await say(second, { holder: "i", want: 5 })).tasks).toEqual([]);
    const reports = Array.from({ length: 5 }, (_, n) => report(n, 1, { kind: "succeeded" }));
    await say(first, { holder: "h", reports, holding: has(LIMIT).slice(5) });
    const given = await until(
      () => say(second, { holder: "i", want: 9 }),
      ({ tasks }) => tasks.length > 0,
    );
    // Batches of earlier tests may still have a call of their own.
    expect(given.tasks.length).toBeGreaterThan(0);
    expect(given.tasks.length).toBeLessThanOrEqual(5);
  });

  it("with everything it knew is told again by the next ask of each batch", async () => {
    const [first, second] = await plantTwo();
    await forget();
    const reports = [report(0, 1, { kind: "succeeded" })];
    await say(first, { holder: "h", reports, holding: has(LIMIT).slice(1) });
    const given = await until(
      () => say(second, { holder: "i", want: 9 }),
      ({ tasks }) => tasks.length > 0,
    );
    expect(given.tasks).toHaveLength(1);
  });

  it("by abort while batches run delays them and loses nothing", async () => {
    const mine = Array.from({ length: 150 }, (_, n) => unique(`limiter gone ${n}`));
    const { id } = await open({ model: "m", prompts: mine, max_concurrency: 10 });
    for (const done of [20, 60, 100]) {
      await until(
        () => look(id),
        ({ request_counts }) => request_counts.completed >= done,
      );
      await evictDurableObject(limiter());
    }
    expect((await ended(id)).request_counts).toMatchObject({ completed: 150 });
    expect(await callsOf(mine)).toEqual(mine.map(() => 1));
  });

  it("and cannot be reached hands out nothing, says when to ask again, and keeps the news", async () => {
    const batch = newBatch();
    await plant(batch, prompts(2), NOTHING);
    const said: Parameters<World["acquire"]>[0][] = [];
    const acquire: World["acquire"] = async (request) => {
      said.push(request);
      if (said.length <= 3) throw new Error("Network connection lost.");
      const startInMs = request.costs.map(() => 0);
      const granted = { startInMs, retryInMs: null, blockedBy: null, contended: false };
      return { ...granted, kept: false, invite: null };
    };
    await drive(batch, { acquire }, async ({ engine, store }) => {
      store.transaction(() => store.tasks.claim(1, "h", BYTES, Date.now()));
      const throttled = report(0, 1, { kind: "throttled", afterMs: 1 });
      const first = await engine.exchange({
        ...SILENCE,
        holder: "h",
        reports: [throttled],
        want: 1,
      });
      expect(first).toMatchObject({ tasks: [], waitMs: 250, end: false });
      const again = await until(
        () => engine.exchange({ ...SILENCE, holder: "h", want: 1 }),
        ({ tasks }) => tasks.length > 0,
      );
      expect(again.tasks).toHaveLength(1);
    });
    const heard = said.slice(3).find(({ throttled }) => throttled !== undefined);
    expect(heard?.throttled).toEqual({ afterMs: 1 });
  });
});

describe("an alarm", () => {
  it("is set again before it works, so that one that dies in the middle comes again", async () => {
    const batch = newBatch({ expires_at: Date.now() - 1 });
    await plant(batch, [unique("alarm")], NOTHING);
    const registerFiles = () => new Promise<void>(NOTHING);
    await drive(batch, { registerFiles }, async ({ engine, clock, alarmAtMs, store }) => {
      void engine.alarm();
      await until(
        async () => store.rows.get()?.status,
        (status) => status === "finalizing",
      );
      expect(alarmAtMs()).toBe(clock.nowMs + 10_000);
    });
  });

  it("whose work throws seven times running comes an eighth time, and the batch ends once", async () => {
    const batch = newBatch({ expires_at: Date.now() - 1 });
    await plant(batch, [unique("seven times")], NOTHING);
    let tries = 0;
    const registerFiles: World["registerFiles"] = async () => {
      tries += 1;
      if (tries <= 7) throw new Error("the project is out of reach");
    };
    await drive(batch, { registerFiles }, async ({ engine, clock, alarmAtMs, store, logged }) => {
      await engine.alarm();
      for (let n = 0; n < 7; n += 1) {
        expect(store.rows.get()?.status).toBe("finalizing");
        const nextMs = alarmAtMs() ?? Number.NaN;
        expect(nextMs - clock.nowMs).toBe(2_000);
        clock.nowMs = nextMs;
        await engine.alarm();
      }
      expect(store.rows.get()?.status).toBe("expired");
      expect(store.progress()).toMatchObject({ expired: 1, pending: 0 });
      const events = logged.map(({ event }) => event).filter((event) => event !== "batch_stopping");
      expect(events).toEqual([...Array(7).fill("sweep_failed"), "batch_ended"]);
    });
    expect(tries).toBe(8);
  });
});
