import { describe, expect, it } from "vitest";
import { ended, unique } from "../support/worker/client.ts";
import {
  callsOf,
  DEAD_QUEUE,
  deliver,
  pointerTo,
  TASKS_QUEUE,
  taskOf,
} from "../support/worker/faults.ts";
import { newBatch, plant } from "../support/worker/store.ts";

const NOTHING = () => undefined;

describe("the queue handler", () => {
  it("acks messages that are no pointers and pointers to nothing", async () => {
    const result = await deliver(
      TASKS_QUEUE,
      null,
      "rubbish",
      { v: 2 },
      { v: 1, project: "default", batch_id: "batch_unknown" },
    );
    expect(result).toMatchObject({ ackAll: true, retryBatch: { retry: false } });
  });

  it("calls each task once when its batch's pointer comes twice in one delivery", async () => {
    const batch = newBatch();
    const prompts = [unique("twice"), unique("twice"), unique("twice")];
    await plant(batch, prompts, NOTHING);
    await deliver(TASKS_QUEUE, pointerTo(batch), pointerTo(batch));
    expect((await ended(batch.batch_id)).request_counts).toMatchObject({ completed: 3 });
    expect(await callsOf(prompts)).toEqual([1, 1, 1]);
  });

  it("calls each task once when several invocations get its pointer at the same moment", async () => {
    const batch = newBatch();
    const prompts = Array.from({ length: 40 }, () => unique("at once"));
    await plant(batch, prompts, NOTHING);
    await Promise.all(
      Array.from({ length: 4 }, () => deliver(TASKS_QUEUE, pointerTo(batch), pointerTo(batch))),
    );
    expect((await ended(batch.batch_id)).request_counts).toMatchObject({ completed: 40 });
    expect(await callsOf(prompts)).toEqual(prompts.map(() => 1));
  });

  it("takes pointers in any order, those of batches that have ended too", async () => {
    const batches = [newBatch(), newBatch(), newBatch()];
    const prompts = batches.map(() => unique("any order"));
    for (const [index, batch] of batches.entries()) {
      await plant(batch, [prompts[index] ?? ""], NOTHING);
    }
    const pointers = batches.map(pointerTo);
    await deliver(TASKS_QUEUE, ...pointers.slice(1).reverse());
    for (const batch of batches.slice(1)) await ended(batch.batch_id);
    await deliver(TASKS_QUEUE, ...pointers.reverse());
    for (const batch of batches) {
      expect((await ended(batch.batch_id)).request_counts).toMatchObject({ completed: 1 });
    }
    expect(await callsOf(prompts)).toEqual([1, 1, 1]);
  });

  it("acks a pointer that comes again after its batch's end, and changes nothing", async () => {
    const batch = newBatch();
    const prompt = unique("redelivered");
    await plant(batch, [prompt], NOTHING);
    await deliver(TASKS_QUEUE, pointerTo(batch));
    const end = await ended(batch.batch_id);
    const result = await deliver(TASKS_QUEUE, pointerTo(batch));
    expect(result).toMatchObject({ ackAll: true, retryBatch: { retry: false } });
    expect(await ended(batch.batch_id)).toEqual(end);
    expect(await callsOf([prompt])).toEqual([1]);
    expect((await taskOf(batch.batch_id)).attempts).toHaveLength(1);
  });

  it("wakes the sweep of a batch whose pointer died", async () => {
    const batch = newBatch();
    await plant(batch, [unique("dead")], NOTHING);
    const result = await deliver(DEAD_QUEUE, pointerTo(batch));
    expect(result).toMatchObject({ ackAll: true });
    expect((await ended(batch.batch_id)).status).toBe("completed");
  });

  it("sweeps every batch of a delivery of dead pointers, whatever else is in it", async () => {
    const batches = [newBatch(), newBatch()];
    for (const batch of batches) await plant(batch, [unique("dead")], NOTHING);
    await deliver(DEAD_QUEUE, "rubbish", pointerTo(newBatch()), ...batches.map(pointerTo));
    for (const batch of batches) expect((await ended(batch.batch_id)).status).toBe("completed");
  });
});
