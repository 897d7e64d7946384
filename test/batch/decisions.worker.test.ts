import { describe, expect, it } from "vitest";
import { unique } from "../support/worker/client.ts";
import { drive } from "../support/worker/faults.ts";
import { chat, makeTables, newBatch, plant, report } from "../support/worker/store.ts";

const nothing = () => undefined;
const twoTasks = () => [unique("decided"), unique("decided")];

describe("what is decided of a batch", () => {
  it("is logged when it is opened, once", async () => {
    const batch = newBatch({ max_concurrency: 3 });
    const task = { customId: "a", body: chat("a"), cost: 1, inputTokens: 1, outputTokens: 0 };
    await makeTables(batch);
    await drive(batch, {}, async ({ engine, logged }) => {
      engine.open(batch, [{ ...task, model: "m" }]);
      engine.open(batch, [{ ...task, model: "m" }]);
      expect(logged).toEqual([
        {
          event: "batch_opened",
          batch: batch.batch_id,
          project: "default",
          endpoint: "/v1/chat/completions",
          inline: true,
          priority: 10,
          max_concurrency: 3,
        },
        { event: "batch_started", batch: batch.batch_id, total: 1 },
      ]);
    });
  });

  it("is logged with each step that somebody asks for, and not when nothing changes", async () => {
    const batch = newBatch();
    await plant(batch, twoTasks(), nothing);
    await drive(batch, {}, async ({ engine, clock, logged }) => {
      engine.pause();
      engine.pause();
      engine.resume();
      engine.change({ priority: 20, metadata: { hidden: "yes" } });
      engine.cancel();
      await engine.alarm();
      engine.retry({});
      engine.cancel();
      clock.nowMs += 1;
      await engine.alarm();
      engine.remove();
      expect(logged.map(({ event }) => event)).toEqual([
        "batch_paused",
        "batch_resumed",
        "batch_changed",
        "batch_stopping",
        "batch_ended",
        "batch_retried",
        "batch_stopping",
        "batch_ended",
        "batch_removed",
      ]);
      const id = batch.batch_id;
      expect(logged).toContainEqual({ event: "batch_changed", batch: id, priority: 20 });
      expect(logged).toContainEqual({ event: "batch_stopping", batch: id, ending: "cancelled" });
      expect(logged).toContainEqual(
        expect.objectContaining({ event: "batch_ended", cancelled: 2 }),
      );
      expect(JSON.stringify(logged)).not.toContain("hidden");
    });
  });

  it("is logged for a task that is tried again or failed, by its place and not by its custom_id", async () => {
    const batch = newBatch();
    await plant(batch, twoTasks(), nothing);
    await drive(batch, {}, async ({ engine, store, clock, logged }) => {
      store.holders.seen("h", clock.nowMs);
      store.tasks.claim(2, "h", 1_000_000, clock.nowMs);
      const said = { invited: false, holding: [], holder: "h", want: 0, leaving: true };
      const reports = [
        report(0, 1, { kind: "retry", afterMs: 5_000 }),
        report(1, 1, { kind: "failed" }),
      ];
      await engine.exchange({ ...said, reports });
      const decided = logged.filter(({ event }) => String(event).startsWith("task_"));
      expect(decided).toEqual([
        expect.objectContaining({
          event: "task_retried",
          batch: batch.batch_id,
          seq: 0,
          attempt: 1,
          wait_ms: 5_000,
        }),
        expect.objectContaining({
          event: "task_failed",
          batch: batch.batch_id,
          seq: 1,
          attempt: 1,
        }),
      ]);
    });
  });

  it("is logged when a conversation that held tasks fell silent", async () => {
    const batch = newBatch();
    await plant(batch, twoTasks(), (store) => {
      store.holders.seen("ghost", Date.now() - 120_000);
      store.tasks.claim(2, "ghost", 1_000_000, Date.now() - 120_000);
    });
    await drive(batch, {}, async ({ engine, logged }) => {
      await engine.alarm();
      const lost = { event: "conversation_lost", batch: batch.batch_id, holder: "ghost", tasks: 2 };
      expect(logged).toContainEqual(lost);
    });
  });
});
