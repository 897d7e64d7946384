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

describe("a conversation that leaves", () => {
  const CLAIMED = 2;

  /** A batch of which a conversation has two tasks, and what it says then. */
  async function leave(then: (driven: Driven, sent: () => number) => Promise<void>) {
    const batch = newBatch();
    await plant(
      batch,
      Array.from({ length: 4 }, () => unique("slice")),
      NOTHING,
    );
    let sent = 0;
    const sendPointers: World["sendPointers"] = async (messages) => {
      sent += messages.length;
    };
    await drive(batch, { sendPointers }, async (driven) => {
      await driven.engine.alarm();
      const asked = { ...SILENCE, holder: "old", want: CLAIMED };
      expect((await driven.engine.exchange(asked)).tasks).toHaveLength(CLAIMED);
      sent = 0;
      await then(driven, () => sent);
    });
  }
  const holding = [0, 1].map((seq) => ({ seq, attempt: 1 }));

  it("has its place taken at once, while its calls go on", async () => {
    await leave(async ({ engine }, sent) => {
      const said = { ...SILENCE, holder: "old", holding };
      await engine.exchange(said);
      expect(sent()).toBe(0);
      const reply = await engine.exchange({ ...said, leaving: true });
      expect(reply).toMatchObject({ tasks: [], end: false });
      expect(sent()).toBe(1);
    });
  });

  it("has its place taken once, however often it says so", async () => {
    await leave(async ({ engine, clock }, sent) => {
      for (let times = 0; times < 5; times += 1) {
        clock.nowMs += 100;
        await engine.exchange({ ...SILENCE, holder: "old", holding, leaving: true });
      }
      expect(sent()).toBe(1);
      // The new one comes, and takes what is left.
      const { tasks } = await engine.exchange({ ...SILENCE, holder: "new", want: 50 });
      expect(tasks.map(({ seq }) => seq)).toEqual([2, 3]);
      expect(sent()).toBe(1);
    });
  });
});

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
        announce: async (_quota, _ref, _weight, wanted) => void announced.push(wanted),
      },
      async (driven) => {
        await driven.engine.alarm();
        await ring(driven, () => announced.length === 3);
      },
    );
    expect(announced).toEqual([1, 1, 1]);
  });
});
