import { evictDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import {
  ended,
  look,
  open,
  outputLines,
  results,
  unique,
  until,
} from "../support/worker/client.ts";
import { newBatch, plant, report, stubOf } from "../support/worker/store.ts";

const BYTES = 1_000_000;
const longAgo = () => Date.now() - 60_000;

describe("the sweep", () => {
  it("finishes a batch whose pointers were lost", async () => {
    const batch = newBatch();
    await plant(batch, [unique("lost"), unique("lost")], () => undefined);
    await stubOf(batch).poke();
    expect(await ended(batch.batch_id)).toMatchObject({
      status: "completed",
      request_counts: { completed: 2 },
    });
  });

  it("takes back what a silent conversation held, and the tasks still get their answers", async () => {
    const batch = newBatch();
    await plant(batch, [unique("held"), unique("held"), unique("free")], (store) => {
      store.holders.seen("ghost", longAgo());
      store.tasks.claim(2, "ghost", BYTES, longAgo());
    });
    await stubOf(batch).poke();
    const end = await ended(batch.batch_id);
    expect(end.request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
  });

  it("lets a report of a conversation taken for gone change nothing", async () => {
    const batch = newBatch();
    await plant(batch, [unique("held")], (store) => {
      store.holders.seen("ghost", longAgo());
      store.tasks.claim(1, "ghost", BYTES, longAgo());
    });
    await stubOf(batch).poke();
    await ended(batch.batch_id);
    const before = await outputLines(batch.batch_id);
    await stubOf(batch).exchange({
      invited: false,
      holding: [],
      holder: "ghost",
      reports: [report(0, 1, { kind: "failed" })],
      want: 0,
      leaving: true,
    });
    expect(await outputLines(batch.batch_id)).toEqual(before);
  });

  it("ends a batch whose window is over as expired, with a line for each task left", async () => {
    const batch = newBatch({ expires_at: Date.now() - 1 });
    await plant(batch, [unique("late"), unique("late")], () => undefined);
    await stubOf(batch).poke();
    const end = await ended(batch.batch_id);
    expect(end).toMatchObject({ status: "expired", muster: { counts: { expired: 2 } } });
    expect(end.error_file_id).not.toBeNull();
    expect((await outputLines(batch.batch_id))[0]).toMatchObject({
      custom_id: "task-0",
      response: null,
      error: {
        code: "batch_expired",
        message: "This request could not be executed before the completion window expired.",
      },
    });
  });

  it("keeps the answer of a call that was in flight when the batch was cancelled", async () => {
    const batch = newBatch();
    await plant(batch, [unique("running"), unique("waiting")], (store) => {
      store.holders.seen("consumer", Date.now());
      store.tasks.claim(1, "consumer", BYTES, Date.now());
    });
    await stubOf(batch).cancel();
    await until(
      () => look(batch.batch_id),
      ({ muster }) => muster.counts.cancelled === 1,
    );
    expect((await look(batch.batch_id)).status).toBe("cancelling");
    await stubOf(batch).exchange({
      invited: false,
      holding: [],
      holder: "consumer",
      reports: [report(0, 1, { kind: "succeeded" })],
      want: 3,
      leaving: false,
    });
    expect(await ended(batch.batch_id)).toMatchObject({
      status: "cancelled",
      muster: { counts: { succeeded: 1, cancelled: 1 } },
    });
  });

  it("survives eviction of the Batch while it runs", async () => {
    const prompts = Array.from({ length: 60 }, (_, i) => unique(`evicted ${i}`));
    const batch = await open({ model: "m", prompts, max_concurrency: 3 });
    const stub = stubOf(newBatch({ batch_id: batch.id }));
    await until(
      () => look(batch.id),
      ({ request_counts }) => request_counts.completed > 5,
    );
    await evictDurableObject(stub);
    const end = await ended(batch.id);
    expect(end.request_counts).toEqual({ total: 60, completed: 60, failed: 0 });
    expect((await results(batch.id)).success_count).toBe(60);
  });
});
