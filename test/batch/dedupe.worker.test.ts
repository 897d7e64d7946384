import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { addTasks } from "../../src/batch/store/intake.ts";
import { Store } from "../../src/batch/store/store.ts";
import {
  call,
  ended,
  look,
  open,
  outputLines,
  post,
  results,
  unique,
  until,
  upload,
} from "../support/worker/client.ts";
import { callsOf, say, taskOf } from "../support/worker/faults.ts";
import { chat, newBatch, plant, report, stubOf } from "../support/worker/store.ts";

const task = (index: number, prompt: string) => ({
  customId: `t${index}`,
  body: chat(prompt),
  cost: 10,
  inputTokens: 4,
  outputTokens: 6,
  model: "m",
});

/** Plants a batch with dedupe, whose tasks are called `t0`, `t1`, … */
async function plantTwins(prompts: readonly string[], change = {}) {
  const batch = newBatch({ dedupe: 1, ...change });
  await plant(batch, [], (store) => {
    store.transaction(() =>
      addTasks(
        store,
        prompts.map((prompt, index) => task(index, prompt)),
        [],
      ),
    );
  });
  return batch;
}

describe("a batch with dedupe", () => {
  it("calls equal bodies once, and gives each task the answer under its own name", async () => {
    const [a, b] = [unique("a"), unique("b")];
    const prompts = [a, b, a, a, b, a];
    const { id, muster } = await open({ model: "m", prompts, dedupe: true });
    expect(muster).toMatchObject({ dedupe: true, twins: 4 });
    const end = await ended(id);
    expect(end.request_counts).toEqual({ total: 6, completed: 6, failed: 0 });
    expect(await callsOf([a, b])).toEqual([1, 1]);
    const lines = await outputLines(id);
    expect(lines.map(({ custom_id }) => custom_id)).toEqual(prompts.map((_, n) => `task-${n}`));
    expect(new Set(lines.map((line) => line.id)).size).toBe(6);
    for (const [index, { response }] of lines.entries()) {
      expect(response).toEqual(lines[prompts.indexOf(prompts[index] ?? "")]?.response);
    }
    // Each line has the usage of its answer; the batch counts a call once.
    const bodies = lines.map(
      ({ response }) => response?.body as { usage: { total_tokens: number } },
    );
    const usage = (index: number) => bodies[index]?.usage.total_tokens ?? Number.NaN;
    expect(end.usage.total_tokens).toBe(usage(0) + usage(1));
    const file = await call(`/v1/files/${end.output_file_id}`);
    const { bytes }: { bytes: number } = await file.json();
    const content = await (await call(`/v1/files/${end.output_file_id}/content`)).arrayBuffer();
    expect(content.byteLength).toBe(bytes);
    expect(await taskOf(id, "task-2")).toMatchObject({
      state: "succeeded",
      attempts: [],
      same_as: "task-0",
    });
    expect((await taskOf(id, "task-0")).same_as).toBe(null);
  });

  it("without it calls each", async () => {
    const prompt = unique("twice");
    const { id, muster } = await open({ model: "m", prompts: [prompt, prompt] });
    expect(muster).toMatchObject({ dedupe: false, twins: 0 });
    await ended(id);
    expect(await callsOf([prompt])).toEqual([2]);
  });

  it("takes bodies from a file for equal that differ in white space alone", async () => {
    const prompt = unique("file");
    const line = (id: string, body: string) =>
      `{"custom_id":"${id}","method":"POST","url":"/v1/chat/completions","body":${body}}`;
    const body = (seed: string) =>
      `{"model":"m","seed":${seed},"messages":[{"role":"user","content":${JSON.stringify(prompt)}}]}`;
    const first = body("9007199254740993");
    const file = await upload(
      [
        line("a", first),
        line("b", first.replaceAll('":', '" : ')),
        // Equal once it is parsed, and another number.
        line("c", body("9007199254740992")),
      ].join("\n"),
    );
    const created = await post("/v1/batches", {
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      dedupe: true,
    });
    const end = await ended(((await created.json()) as { id: string }).id);
    expect(end.request_counts.completed).toBe(3);
    expect(end.muster.twins).toBe(1);
    expect(await callsOf([prompt])).toEqual([2]);
  });

  it("fails all twins of a task that fails for good, and a retry completes them with one call", async () => {
    const prompt = unique("[503 run]");
    const { id } = await open({ model: "m", prompts: [prompt, prompt, prompt], dedupe: true });
    const end = await ended(id);
    expect(end.request_counts).toEqual({ total: 3, completed: 0, failed: 3 });
    expect(await callsOf([prompt])).toEqual([4]);
    const { errors } = await results(id);
    expect(errors.map(({ retry, status_code }) => [retry, status_code])).toEqual(
      errors.map(() => [true, 503]),
    );
    await call(`/v1/batches/${id}/retry`, { method: "POST" });
    expect((await ended(id)).request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
    expect(await callsOf([prompt])).toEqual([5]);
  });

  it("keeps what a call in flight answers for its twins, too, when it is cancelled", async () => {
    const [a, b] = [unique("a"), unique("b")];
    const batch = await plantTwins([a, a, b, b]);
    const first = await say(batch, { holder: "h", want: 1 });
    expect(first.tasks.map(({ seq }) => seq)).toEqual([0]);
    await call(`/v1/batches/${batch.batch_id}/cancel`, { method: "POST" });
    await until(
      () => look(batch.batch_id),
      ({ muster }) => muster.counts.cancelled === 2,
    );
    expect((await look(batch.batch_id)).muster.counts).toMatchObject({ running: 1, pending: 1 });
    await say(batch, { holder: "h", reports: [report(0, 1, { kind: "succeeded" })] });
    const end = await ended(batch.batch_id);
    expect(end.status).toBe("cancelled");
    expect(end.muster.counts).toMatchObject({ succeeded: 2, cancelled: 2, pending: 0 });
  });

  it("expires twins with their original", async () => {
    const batch = await plantTwins(["a", "a", "a"].map(String), { expires_at: Date.now() - 1 });
    await stubOf(batch).poke();
    const end = await ended(batch.batch_id);
    expect(end.status).toBe("expired");
    expect(end.muster.counts.expired).toBe(3);
  });

  it("spends a budget on calls, and stops twins with their originals", async () => {
    const batch = await plantTwins(["a", "a", "b", "b", "b"].map(String), { max_tokens_total: 10 });
    const first = await say(batch, { holder: "h", want: 9 });
    expect(first.tasks.map(({ seq }) => seq)).toEqual([0]);
    const usage = { input_tokens: 4, cached_tokens: 0, output_tokens: 6, reasoning_tokens: 0 };
    const done = { ...report(0, 1, { kind: "succeeded" }), usage };
    await say(batch, { holder: "h", reports: [done] });
    const end = await ended(batch.batch_id);
    expect(end.muster.counts).toMatchObject({ succeeded: 2, failed: 3 });
    expect(end.muster.budget).toMatchObject({ spent_tokens: 10, stopped: 3 });
    expect(end.usage.total_tokens).toBe(10);
  });

  it("ends a hundred thousand twins of one task in steps, with one call", async () => {
    const batch = newBatch({ dedupe: 1 });
    const prompt = unique("many");
    const count = 100_000;
    await plant(batch, [], (store) => {
      for (let from = 0; from < count; from += 10_000) {
        const tasks = Array.from({ length: 10_000 }, (_, index) => task(from + index, prompt));
        store.transaction(() => addTasks(store, tasks, []));
      }
    });
    const first = await say(batch, { holder: "h", want: 50 });
    expect(first.tasks).toHaveLength(1);
    await say(batch, { holder: "h", reports: [report(0, 1, { kind: "succeeded" })] });
    const right = await runInDurableObject(stubOf(batch), (_, { storage }) =>
      new Store(storage).progress(),
    );
    // With the original's record came few of them; the rest is the sweep's.
    expect(right.succeeded).toBeLessThan(20_000);
    const end = await until(
      () => look(batch.batch_id),
      ({ status }) => status === "completed",
      60_000,
    );
    expect(end.request_counts).toEqual({ total: count, completed: count, failed: 0 });
    expect(end.muster.counts).toMatchObject({ succeeded: count, pending: 0 });
  });
});
