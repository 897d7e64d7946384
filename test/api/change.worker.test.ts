import { describe, expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import {
  call,
  ended,
  errorOf,
  look,
  OTHER_KEY,
  open,
  patch,
  unique,
  until,
} from "../support/worker/client.ts";
import { callsOf, say } from "../support/worker/faults.ts";
import { newBatch, plant, report } from "../support/worker/store.ts";

const NOTHING = () => undefined;

/** A change that must be allowed. */
async function change(id: string, to: Record<string, unknown>): Promise<BatchObject> {
  const response = await patch(id, to);
  if (!response.ok) throw new Error(`PATCH: ${response.status} ${await response.text()}`);
  return response.json();
}

describe("max_concurrency changed while the batch runs", () => {
  it("lowered, lets no call begin until fewer are in flight", async () => {
    const batch = newBatch({ max_concurrency: 4 });
    await plant(batch, ["a", "b", "c", "d", "e", "f", "g"].map(unique), NOTHING);
    const first = await say(batch, { holder: "h", want: 9 });
    expect(first.tasks.map(({ seq }) => seq)).toEqual([0, 1, 2, 3]);
    expect((await change(batch.batch_id, { max_concurrency: 2 })).muster.max_concurrency).toBe(2);

    const inFlight = first.tasks.map(({ seq, attempt }) => ({ seq, attempt }));
    const done = (count: number) =>
      inFlight.slice(count - 1, count).map(({ seq }) => report(seq, 1, { kind: "succeeded" }));
    const speak = (count: number, holding: typeof inFlight) =>
      say(batch, { holder: "h", want: 9, reports: done(count), holding });
    expect((await speak(1, inFlight.slice(1))).tasks).toEqual([]);
    expect((await speak(2, inFlight.slice(2))).tasks).toEqual([]);
    const next = await speak(3, inFlight.slice(3));
    expect(next.tasks.map(({ seq }) => seq)).toEqual([4]);
  });

  it("raised, is used at once", async () => {
    const prompts = Array.from({ length: 8 }, (_, n) => unique(`[slow] ${n}`));
    const { id } = await open({ model: "m", prompts, max_concurrency: 1 });
    await until(
      () => look(id),
      ({ muster }) => muster.counts.succeeded > 0,
    );
    await change(id, { max_concurrency: 6 });
    const { muster } = await until(
      () => look(id),
      ({ muster }) => muster.counts.running > 1,
    );
    expect(muster.max_concurrency).toBe(6);
    expect((await ended(id)).request_counts.completed).toBe(8);
    expect(await callsOf(prompts)).toEqual(prompts.map(() => 1));
  });

  it("taken away with null, is the upstream's alone", async () => {
    const batch = newBatch({ max_concurrency: 1 });
    await plant(batch, ["a", "b", "c"].map(unique), NOTHING);
    const first = await say(batch, { holder: "h", want: 9 });
    expect(first.tasks).toHaveLength(1);
    expect((await change(batch.batch_id, { max_concurrency: null })).muster.max_concurrency).toBe(
      null,
    );
    const holding = [{ seq: 0, attempt: 1 }];
    expect((await say(batch, { holder: "h", want: 9, holding })).tasks).toHaveLength(2);
  });
});

describe("metadata and priority", () => {
  it("are replaced, and what is not named stays", async () => {
    const { id, muster } = await open({
      model: "m",
      prompts: [unique("[hang always]")],
      metadata: { a: "1", b: "2" },
      max_concurrency: 3,
    });
    expect(muster.priority).toBe(10);
    expect(await change(id, { metadata: { c: "3" }, priority: 20 })).toMatchObject({
      metadata: { c: "3" },
      muster: { max_concurrency: 3, priority: 20 },
    });
    expect(await change(id, { metadata: null, priority: null })).toMatchObject({
      metadata: null,
      muster: { max_concurrency: 3, priority: 10 },
    });
    await call(`/v1/batches/${id}/cancel`, { method: "POST" });
  });
});

describe("a batch that has ended", () => {
  it("takes new metadata, and nothing else, all or nothing", async () => {
    const { id } = await open({ model: "m", prompts: [unique("a")] });
    await ended(id);
    expect((await change(id, { metadata: { kept: "yes" } })).metadata).toEqual({ kept: "yes" });
    for (const limit of [{ max_concurrency: 2 }, { priority: 2 }]) {
      const response = await patch(id, { metadata: { kept: "no" }, ...limit });
      expect(response.status).toBe(400);
      const [name = ""] = Object.keys(limit);
      expect(await errorOf(response)).toMatchObject({
        code: "batch_not_changeable",
        param: name,
        message: expect.stringContaining("this batch is completed"),
      });
    }
    expect((await look(id)).metadata).toEqual({ kept: "yes" });
  });
});

describe("a change that is not valid", () => {
  it.each([
    [
      {},
      null,
      "takes at least one of max_concurrency, priority, pool, max_tokens_total, max_cost, metadata",
    ],
    [{ max_concurency: 3 }, "max_concurency", "Did you mean 'max_concurrency'?"],
    [
      { webhook: null },
      "webhook",
      "It takes max_concurrency, priority, pool, max_tokens_total, max_cost, metadata.",
    ],
    [{ max_concurrency: 0 }, "max_concurrency", "takes a whole number from 1 to 10000"],
    [{ max_concurrency: "3" }, "max_concurrency", "number"],
    [{ priority: 101 }, "priority", "takes a whole number from 1 to 100"],
    [{ priority: 1.5 }, "priority", "a whole number"],
    [{ metadata: { a: 1 } }, "metadata.a", "string"],
    [[], null, "object"],
  ])("%j is refused, with the field's name", async (body, param, says) => {
    const { id } = await open({ model: "m", prompts: [unique("a")] });
    const response = await patch(id, body);
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    expect(error.param).toBe(param);
    expect(error.message).toContain(says);
  });

  it("and one of another project's batch is 404", async () => {
    const { id } = await open({ model: "m", prompts: [unique("a")] });
    const theirs = await patch(id, { metadata: null }, OTHER_KEY);
    const nobodys = await patch(`batch_${"0".repeat(32)}`, { metadata: null }, OTHER_KEY);
    expect([theirs.status, nobodys.status]).toEqual([404, 404]);
  });
});
