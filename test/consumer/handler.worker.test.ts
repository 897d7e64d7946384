import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { handleQueue } from "../../src/consumer/handler.ts";
import { ended, unique } from "../support/worker/client.ts";
import { newBatch, plant } from "../support/worker/store.ts";

async function deliver(queue: string, ...bodies: unknown[]) {
  const messages = bodies.map((body, index) => ({
    id: `m${index}`,
    timestamp: new Date(),
    attempts: 1,
    body,
  }));
  const messageBatch = createMessageBatch(queue, messages);
  await handleQueue(messageBatch, env);
  return getQueueResult(messageBatch, createExecutionContext());
}

describe("the queue handler", () => {
  it("acks messages that are no pointers and pointers to nothing", async () => {
    const result = await deliver(
      "muster-tasks",
      null,
      "rubbish",
      { v: 2 },
      { v: 1, project: "default", batch_id: "batch_unknown" },
    );
    expect(result).toMatchObject({ ackAll: true, retryBatch: { retry: false } });
  });

  it("serves a batch however often its pointer comes", async () => {
    const batch = newBatch();
    const prompts = [unique("twice"), unique("twice"), unique("twice")];
    await plant(batch, prompts, () => undefined);
    const pointer = { v: 1, project: batch.project, batch_id: batch.batch_id };
    await Promise.all([
      deliver("muster-tasks", pointer, pointer),
      deliver("muster-tasks", pointer),
    ]);
    const end = await ended(batch.batch_id);
    expect(end.request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
  });

  it("wakes the sweep of a batch whose pointer died", async () => {
    const batch = newBatch();
    await plant(batch, [unique("dead")], () => undefined);
    const pointer = { v: 1, project: batch.project, batch_id: batch.batch_id };
    await deliver("muster-tasks-dead", pointer);
    expect((await ended(batch.batch_id)).status).toBe("completed");
  });
});
