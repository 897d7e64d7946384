import { describe, expect, it } from "vitest";
import type { NewBatch } from "../../src/batch/store/batch-row.ts";
import { hashOutcomes } from "../../src/batch/store/outcomes.ts";
import type { World } from "../../src/batch/world.ts";
import { type Driven, drive, HOUR_MS } from "../support/worker/faults.ts";
import { chat, countsByState, countsKept, makeTables, newBatch } from "../support/worker/store.ts";

/** Lines of the file: some three ranges of what is read at a time. */
const LINES = 300;
const PADDING = " ".repeat(10_000);
/** The first place that is not read in the first range. */
const BEHIND_FIRST = 1;

function lineOf(index: number, body: string = chat(`line ${index}`)): string {
  const url = "/v1/chat/completions";
  return `{"custom_id":"l-${index}","method":"POST","url":"${url}",${PADDING}"body":${body}}\n`;
}

const numbers = Array.from({ length: LINES }, (_, index) => index);
const GOOD = numbers.map((index) => lineOf(index)).join("");

/** A world that has a file; `reading` hears of each range before it is read. */
function holding(text: string, reading: (from: number) => void = () => undefined): Partial<World> {
  const bytes = new TextEncoder().encode(text);
  return {
    fileSize: async () => bytes.length,
    readFile: async (_key, from, length) => {
      reading(from);
      return bytes.slice(from, from + length);
    },
  };
}

async function fresh(change: Partial<NewBatch> = {}): Promise<NewBatch> {
  const batch = newBatch({ source_key: "files/1", input_file_id: "file-1", ...change });
  await makeTables(batch);
  return batch;
}

/** Opens a batch from a file, and has it cancelled when it reads on at a place. */
async function cancelledAt<R>(
  from: number,
  text: string,
  then: (driven: Driven) => R | Promise<R>,
  change: Partial<NewBatch> = {},
): Promise<R> {
  const batch = await fresh(change);
  const cancel: { now?: (() => void) | undefined } = {};
  const file = holding(text, (at) => {
    if (at >= from) cancel.now?.();
  });
  return drive(batch, file, async (driven) => {
    const { engine } = driven;
    engine.open(batch, null);
    cancel.now = () => {
      cancel.now = undefined;
      expect(engine.cancel()).toMatchObject({ ok: true, value: { status: "cancelling" } });
    };
    await engine.alarm();
    expect(cancel.now).toBeUndefined();
    return then(driven);
  });
}

/** The state of a batch that was cancelled as a whole. */
function expectCancelled({ engine, store }: Driven, total: number): void {
  const view = engine.view();
  expect(view).toMatchObject({
    value: {
      status: "cancelled",
      in_progress_at: null,
      request_counts: { total, completed: 0, failed: 0 },
      muster: { counts: { pending: 0, cancelled: total }, audit: { total } },
    },
  });
  expect(countsByState(store)).toEqual(countsKept(store.progress()));
  const page = engine.reader.results("all", -1, 2 * total);
  const lines = page.ok ? page.value.rows.map(({ line }) => JSON.parse(line)) : [];
  expect(lines.map(({ custom_id }) => custom_id)).toEqual(
    numbers.slice(0, total).map((index) => `l-${index}`),
  );
  expect(new Set(lines.map(({ error }) => error.code))).toEqual(new Set(["batch_cancelled"]));
  expect(store.rows.get()?.outcomes_sha256).toBe(hashOutcomes(store.sql));
}

const eventsOf = ({ store }: Driven) =>
  store.sql
    .exec<{ type: string }>("SELECT type FROM event")
    .toArray()
    .map(({ type }) => type);

describe("a batch that is cancelled while its file is read", () => {
  it.each([
    ["before its first line", 0],
    ["in the middle of it", BEHIND_FIRST],
  ])("%s has an outcome for every line, and runs them all when it is retried", async (_, from) => {
    await cancelledAt(from, GOOD, (driven) => {
      expectCancelled(driven, LINES);
      expect(eventsOf(driven)).toEqual(["batch.cancelled"]);
      const { engine, store } = driven;
      expect(engine.retry({})).toMatchObject({
        value: {
          status: "in_progress",
          request_counts: { total: LINES },
          muster: { run: 2, counts: { pending: LINES, cancelled: 0 } },
        },
      });
      expect(store.tasks.claim(2 * LINES, "h", 1e9, Date.now())).toHaveLength(LINES);
    });
  });

  it("shows how far it is read meanwhile, and hands out nothing", async () => {
    const batch = await fresh();
    const seen: unknown[] = [];
    const look: { now?: () => void } = {};
    const file = holding(GOOD, () => look.now?.());
    await drive(batch, file, async ({ engine, store }) => {
      engine.open(batch, null);
      engine.cancel();
      look.now = () => {
        const view = engine.view();
        if (view.ok) seen.push([view.value.status, view.value.request_counts.total]);
        expect(store.progress().running).toBe(0);
      };
      await engine.alarm();
    });
    expect(seen.length).toBeGreaterThan(2);
    expect(seen[0]).toEqual(["cancelling", 0]);
    expect(seen.at(-1)).toEqual(["cancelling", expect.any(Number)]);
    expect(seen.at(-1)).not.toEqual(seen[0]);
  });

  it("fails with what is wrong in the rest of the file, and cannot be retried then", async () => {
    const wrong = `${GOOD}${lineOf(0)}nonsense\n`;
    await cancelledAt(0, wrong, (driven) => {
      const { engine, store, logged } = driven;
      expect(engine.view()).toMatchObject({
        value: {
          status: "failed",
          errors: {
            data: [
              { code: "duplicate_custom_id", line: LINES + 1 },
              { code: "invalid_json_line", line: LINES + 2 },
            ],
          },
          request_counts: { total: 0, completed: 0, failed: 0 },
          cancelling_at: expect.any(Number),
          cancelled_at: null,
        },
      });
      expect(countsByState(store)).toEqual(countsKept(store.progress()));
      expect(eventsOf(driven)).toEqual(["batch.failed"]);
      expect(logged.map(({ event }) => event)).toEqual([
        "batch_opened",
        "batch_stopping",
        "batch_failed",
      ]);
      expect(engine.retry({})).toMatchObject({ problem: { reason: "batch_not_retryable" } });
    });
  });

  it("fails when its file is deleted before all of it was read", async () => {
    const batch = await fresh();
    let deleted = false;
    const whole = holding(GOOD);
    const file: Partial<World> = {
      ...whole,
      readFile: async (...said) => (deleted ? undefined : whole.readFile?.(...said)),
    };
    await drive(batch, file, async (driven) => {
      const { engine, world, store } = driven;
      engine.open(batch, null);
      engine.cancel();
      world.breathe = async () => {
        deleted = true;
      };
      await engine.alarm();
      expect(engine.view()).toMatchObject({
        value: { status: "failed", errors: { data: [{ code: "file_not_found" }] } },
      });
      expect(countsByState(store)).toEqual(countsKept(store.progress()));
      expect(eventsOf(driven)).toEqual(["batch.failed"]);
    });
  });

  it("is read on by the next that takes it up, when it is killed in the middle", async () => {
    const batch = await fresh();
    const killed = holding(GOOD, (from) => {
      if (from >= BEHIND_FIRST) throw new Error("killed");
    });
    await drive(batch, killed, async ({ engine, store }) => {
      engine.open(batch, null);
      engine.cancel();
      await engine.alarm();
      expect(store.rows.get()?.status).toBe("cancelling");
      expect(store.progress().total).toBeGreaterThan(0);
      expect(store.progress().total).toBeLessThan(LINES);
    });
    await drive(batch, holding(GOOD), async (driven) => {
      await driven.engine.alarm();
      expectCancelled(driven, LINES);
    });
  });

  it("has its twins cancelled with their originals, and run again with them", async () => {
    const text = numbers.map((index) => lineOf(index, chat(`body ${index % 2}`))).join("");
    const then = (driven: Driven) => {
      const { engine, store } = driven;
      expectCancelled(driven, LINES);
      engine.retry({});
      expect(store.progress()).toMatchObject({ pending: LINES, twins_pending: LINES - 2 });
      expect(store.tasks.claim(LINES, "h", 1e9, Date.now())).toHaveLength(2);
    };
    await cancelledAt(BEHIND_FIRST, text, then, { dedupe: 1 });
  });
});

describe("a batch whose window ends while its file is read", () => {
  it("is read to the end, has every line expire, and runs them all when it is retried", async () => {
    const batch = await fresh();
    const pass: { now?: (() => void) | undefined } = {};
    const file = holding(GOOD, () => pass.now?.());
    await drive(batch, file, async ({ engine, store, clock }) => {
      engine.open(batch, null);
      pass.now = () => {
        pass.now = undefined;
        clock.nowMs += 25 * HOUR_MS;
      };
      // A pass of the sweep is over by such a clock; the next goes on.
      await engine.alarm();
      expect(store.rows.get()?.status).toBe("validating");
      await engine.alarm();
      expect(engine.view()).toMatchObject({
        value: { status: "expired", muster: { counts: { pending: 0, expired: LINES } } },
      });
      expect(engine.retry({})).toMatchObject({ value: { status: "in_progress" } });
      expect(store.progress()).toMatchObject({ total: LINES, pending: LINES });
    });
  });
});

/** Cancels a batch while its file is read, as Muster did before: what was not read is left out. */
async function cancelledBefore(batch: NewBatch, read: "nothing" | "a part"): Promise<void> {
  const file = holding(GOOD, (from) => {
    if (read === "nothing" || from >= BEHIND_FIRST) throw new Error("killed");
  });
  await drive(batch, file, async ({ engine, store, clock }) => {
    engine.open(batch, null);
    await engine.alarm();
    const cancelled = { code: "batch_cancelled", message: "cancelled" };
    store.transaction(() => {
      store.rows.cancel(clock.nowMs);
      store.closing.next({ state: "cancelled", error: cancelled }, "l", LINES, clock.nowMs);
    });
  });
}

describe("a batch that an earlier Muster cancelled while its file was read", () => {
  it.each(["nothing", "a part"] as const)(
    "with %s of it read runs the whole file when it is retried",
    async (read) => {
      const batch = await fresh();
      await cancelledBefore(batch, read);
      await drive(batch, holding(GOOD), async ({ engine, store, clock }) => {
        store.rows.end("cancelled", "", clock.nowMs);
        expect(engine.retry({})).toMatchObject({
          value: { status: "validating", in_progress_at: null },
        });
        await engine.alarm();
        expect(engine.view()).toMatchObject({
          value: { status: "in_progress", request_counts: { total: LINES } },
        });
        expect(countsByState(store)).toEqual(countsKept(store.progress()));
        expect(store.tasks.claim(2 * LINES, "h", 1e9, clock.nowMs)).toHaveLength(LINES);
      });
    },
  );

  it("and has its tasks being closed ends so, and fails in a retry for what is wrong", async () => {
    const batch = await fresh();
    await cancelledBefore(batch, "a part");
    await drive(batch, holding(`${GOOD}nonsense\n`), async ({ engine, store }) => {
      await engine.alarm();
      expect(store.rows.get()?.status).toBe("cancelled");
      expect(engine.retry({})).toMatchObject({ value: { status: "validating" } });
      await engine.alarm();
      expect(engine.view()).toMatchObject({
        value: { status: "failed", errors: { data: [{ line: LINES + 1 }] } },
      });
      expect(countsByState(store)).toEqual(countsKept(store.progress()));
    });
  });
});
