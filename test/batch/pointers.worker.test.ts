import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { World } from "../../src/batch/world.ts";
import { ended, unique } from "../support/worker/client.ts";
import { callsOf, type Driven, drive, HOUR_MS, SILENCE } from "../support/worker/faults.ts";
import { newBatch, plant } from "../support/worker/store.ts";

const NOTHING = () => undefined;
const overloaded = () => Promise.reject(new Error("Queue is overloaded"));
const forever = () => new Promise<void>(NOTHING);

/** Moves the clock to the alarm and rings it, until a condition holds; `times` over at most. */
async function ring(driven: Driven, done: () => boolean, times = 50): Promise<void> {
  for (let n = 0; n < times && !done(); n += 1) {
    driven.clock.nowMs = driven.alarmAtMs() ?? Number.NaN;
    await driven.engine.alarm();
  }
  expect(done()).toBe(true);
}

/** A world whose queue does what the list says, one send after the other, and then works. */
function queueThat(...sends: (() => Promise<void>)[]): Pick<World, "sendPointers"> & {
  sent: number;
} {
  const queue = {
    sent: 0,
    sendPointers: async (messages: Parameters<World["sendPointers"]>[0]) => {
      queue.sent += 1;
      await (sends[queue.sent - 1]?.() ?? env.TASKS.sendBatch(messages));
    },
  };
  return queue;
}

describe("a pointer that never arrives", () => {
  it("is sent again by the sweep, and the batch completes", async () => {
    const batch = newBatch();
    const prompt = unique("lost pointer");
    await plant(batch, [prompt], NOTHING);
    const queue = queueThat(() => Promise.resolve());
    await drive(batch, { sendPointers: queue.sendPointers }, async (driven) => {
      await driven.engine.alarm();
      const before = driven.clock.nowMs;
      await ring(driven, () => queue.sent === 2);
      expect(driven.clock.nowMs - before).toBeLessThanOrEqual(10_000);
    });
    expect(queue.sent).toBe(2);
    expect((await ended(batch.batch_id)).status).toBe("completed");
    expect(await callsOf([prompt])).toEqual([1]);
  });

  it("is looked for less and less often, and never given up", async () => {
    const batch = newBatch();
    await plant(batch, [unique("long queue")], NOTHING);
    const sends = Array.from({ length: 6 }, () => () => Promise.resolve());
    const queue = queueThat(...sends);
    const waits: number[] = [];
    await drive(batch, { sendPointers: queue.sendPointers }, async (driven) => {
      await driven.engine.alarm();
      for (let sentAtMs = driven.clock.nowMs; queue.sent < sends.length; ) {
        const sent = queue.sent;
        await ring(driven, () => queue.sent > sent);
        waits.push(driven.clock.nowMs - sentAtMs);
        sentAtMs = driven.clock.nowMs;
      }
    });
    expect(waits.map((ms) => Math.round(ms / 1_000))).toEqual([10, 20, 40, 80, 160]);
  });

  it("is sent again although the clock went back an hour after it was sent", async () => {
    const batch = newBatch();
    await plant(batch, [unique("clock back")], NOTHING);
    const queue = queueThat(() => Promise.resolve());
    await drive(batch, { sendPointers: queue.sendPointers }, async (driven) => {
      await driven.engine.alarm();
      driven.clock.nowMs -= HOUR_MS;
      await driven.engine.alarm();
      await ring(driven, () => queue.sent === 2, 2);
    });
    expect((await ended(batch.batch_id)).status).toBe("completed");
  });
});

describe("a queue that does not take the pointers", () => {
  it("because it is overloaded delays the batch, and is logged by the batch's id alone", async () => {
    const batch = newBatch();
    await plant(batch, [unique("overloaded"), unique("overloaded")], NOTHING);
    const queue = queueThat(overloaded, overloaded, overloaded);
    await drive(batch, { sendPointers: queue.sendPointers }, async (driven) => {
      await driven.engine.alarm();
      await ring(driven, () => queue.sent === 4);
      expect(driven.logged).toHaveLength(3);
      expect(driven.logged[0]).toEqual({
        event: "pointers_not_sent",
        batch: batch.batch_id,
        error: "Error: Queue is overloaded",
      });
    });
    expect((await ended(batch.batch_id)).request_counts).toMatchObject({ completed: 2 });
  });

  it("because it hangs holds up neither exchanges nor the alarm", async () => {
    const batch = newBatch();
    await plant(batch, [unique("hung"), unique("hung")], NOTHING);
    const queue = queueThat(forever);
    await drive(batch, { sendPointers: queue.sendPointers }, async (driven) => {
      await driven.engine.alarm();
      expect(queue.sent).toBe(1);
      const asked = { ...SILENCE, holder: "invited", invited: true, want: 1 };
      expect((await driven.engine.exchange(asked)).tasks).toHaveLength(1);
      expect(driven.engine.view()).toMatchObject({ ok: true });
      await ring(driven, () => queue.sent === 2);
    });
    expect((await ended(batch.batch_id)).request_counts).toMatchObject({ completed: 2 });
  });

  it("because it hangs at every send still leaves the batch to whoever is invited", async () => {
    const batch = newBatch();
    await plant(batch, [unique("hung for good")], NOTHING);
    const announced: number[] = [];
    await drive(
      batch,
      {
        sendPointers: forever,
        announce: async (_upstream, _ref, wanted) => void announced.push(wanted),
      },
      async (driven) => {
        await driven.engine.alarm();
        await ring(driven, () => announced.length === 3);
      },
    );
    expect(announced).toEqual([1, 1, 1]);
  });
});
