import { runDurableObjectAlarm } from "cloudflare:test";
import { describe, expect, inject, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import {
  bodyOf,
  call,
  ended,
  errorOf,
  look,
  OTHER_KEY,
  open,
  outputLines,
  post,
  results,
  unique,
  until,
} from "../support/worker/client.ts";
import {
  callsOf,
  deliver,
  deliveriesOf,
  HOUR_MS,
  pointerTo,
  receivedAt,
  say,
  TASKS_QUEUE,
  taskOf,
} from "../support/worker/faults.ts";
import { newBatch, plant, report, stubOf, tamper } from "../support/worker/store.ts";

const NOTHING = () => undefined;
const objectOf = (id: string) => stubOf(newBatch({ batch_id: id }));

/** Takes a step that must be allowed. */
async function steer(id: string, step: string): Promise<BatchObject> {
  const response = await post(`/v1/batches/${id}/${step}`, "");
  if (!response.ok) throw new Error(`${step}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** The bytes of the results, a line each, by custom_id. */
async function linesById(id: string): Promise<Map<string, string>> {
  const response = await call(`/v1/batches/${id}/results`, {
    headers: { accept: "application/jsonl" },
  });
  const { text } = await bodyOf(response);
  const lines = text.split("\n").filter((line) => line !== "");
  return new Map(lines.map((line) => [JSON.parse(line).custom_id, line]));
}

describe("a batch that is paused", () => {
  it("calls nothing new, whoever asks, until it is resumed, and then completes", async () => {
    const prompts = Array.from({ length: 60 }, (_, n) => unique(`paused ${n}`));
    const { id } = await open({ model: "m", prompts, max_concurrency: 2 });
    await until(
      () => look(id),
      ({ request_counts }) => request_counts.completed > 3,
    );
    expect((await steer(id, "pause")).muster.paused).toBe(true);
    const rested = await until(
      () => look(id),
      ({ muster }) => muster.counts.running === 0,
    );
    const calls = await callsOf(prompts);
    const batch = newBatch({ batch_id: id });
    await deliver(TASKS_QUEUE, pointerTo(batch));
    expect(await say(batch, { holder: "h", want: 9 })).toMatchObject({ tasks: [], end: true });
    await objectOf(id).poke();
    await runDurableObjectAlarm(objectOf(id));
    expect(await callsOf(prompts)).toEqual(calls);
    expect((await look(id)).muster.counts).toEqual(rested.muster.counts);
    expect(rested.muster.counts.pending).toBeGreaterThan(0);

    expect((await steer(id, "resume")).muster.paused).toBe(false);
    expect((await ended(id)).request_counts).toEqual({ total: 60, completed: 60, failed: 0 });
    expect(await callsOf(prompts)).toEqual(prompts.map(() => 1));
  });

  it("keeps the answers of calls that were in flight", async () => {
    const batch = newBatch();
    await plant(batch, [unique("in flight"), unique("waits")], NOTHING);
    await say(batch, { holder: "h", want: 1 });
    await steer(batch.batch_id, "pause");
    const reports = [report(0, 1, { kind: "succeeded" })];
    expect((await say(batch, { holder: "h", want: 5, reports })).tasks).toEqual([]);
    expect((await look(batch.batch_id)).muster).toMatchObject({
      paused: true,
      counts: { succeeded: 1, pending: 1, running: 0 },
    });
    await steer(batch.batch_id, "resume");
    expect((await ended(batch.batch_id)).request_counts.completed).toBe(2);
  });

  it("parks a call in flight that fails, and tries it again after it is resumed", async () => {
    const batch = newBatch();
    await plant(batch, [unique("fails")], NOTHING);
    await say(batch, { holder: "h", want: 1 });
    await steer(batch.batch_id, "pause");
    await say(batch, { holder: "h", want: 1, reports: [report(0, 1, { kind: "retry" })] });
    expect((await look(batch.batch_id)).muster.counts).toMatchObject({ pending: 1 });
    await steer(batch.batch_id, "resume");
    expect((await ended(batch.batch_id)).request_counts.completed).toBe(1);
  });

  it("twice, and resumed twice, is as once", async () => {
    const batch = newBatch();
    await plant(batch, [unique("twice")], NOTHING);
    const first = await steer(batch.batch_id, "pause");
    expect(await steer(batch.batch_id, "pause")).toEqual(first);
    await steer(batch.batch_id, "resume");
    await steer(batch.batch_id, "resume");
    expect((await ended(batch.batch_id)).request_counts.completed).toBe(1);
  });

  it("can be cancelled", async () => {
    const batch = newBatch();
    await plant(batch, [unique("paused"), unique("paused")], NOTHING);
    await steer(batch.batch_id, "pause");
    await steer(batch.batch_id, "cancel");
    expect(await ended(batch.batch_id)).toMatchObject({
      status: "cancelled",
      muster: { counts: { cancelled: 2 } },
    });
  });

  it("is a 400 that names the status once it has ended", async () => {
    const { id } = await open({ model: "m", prompts: [unique("over")] });
    await ended(id);
    const response = await post(`/v1/batches/${id}/pause`, "");
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    expect(error).toMatchObject({ code: "batch_not_pausable", param: "id" });
    expect(error.message).toContain("completed");
  });
});

describe("a batch that is retried", () => {
  it("runs what failed again and keeps what succeeded byte for byte", async () => {
    const prompts = [unique("fine"), unique("[503 run]"), unique("fine"), unique("[400]")];
    const { id } = await open({ model: "m", prompts });
    const first = await ended(id);
    expect(first.request_counts).toEqual({ total: 4, completed: 2, failed: 2 });
    const before = await linesById(id);
    await steer(id, "retry");
    const second = await ended(id);
    expect(second.request_counts).toEqual({ total: 4, completed: 3, failed: 1 });
    const after = await linesById(id);
    expect(after.get("task-0")).toBe(before.get("task-0"));
    expect(after.get("task-2")).toBe(before.get("task-2"));
    expect([...after.keys()]).toEqual(["task-0", "task-1", "task-2", "task-3"]);
    expect((await results(id)).success.map(({ task_id }) => task_id)).toEqual([
      "task-0",
      "task-1",
      "task-2",
    ]);
    expect(await callsOf(prompts)).toEqual([1, 5, 1, 2]);
    expect(second.usage.total_tokens).toBeGreaterThan(first.usage.total_tokens);
  });

  it("runs a task again whose answer was three thousand levels deep, and keeps its attempt", async () => {
    const batch = newBatch();
    const { batch_id: id } = batch;
    await plant(batch, [unique("deep")], NOTHING);
    await say(batch, { holder: "h", want: 1 });
    const trace = `${"[".repeat(3_000)}${"]".repeat(3_000)}`;
    const body = `{"error":{"message":"no"},"trace":${trace}}`;
    const result = { kind: "answered" as const, status: 400, requestId: "r", body };
    await say(batch, {
      holder: "h",
      reports: [{ ...report(0, 1, { kind: "failed" }), result }],
    });
    expect((await ended(id)).request_counts.failed).toBe(1);
    await steer(id, "retry");
    expect((await ended(id)).request_counts.completed).toBe(1);
    const { attempts } = await taskOf(id, "task-0");
    expect(attempts.map(({ status_code }) => status_code)).toEqual([400, 200]);
  });

  it("has a run number, a new window of the same length, and no end yet", async () => {
    const prompts = [unique("[400]")];
    const { id } = await open({ model: "m", prompts, completion_window: "2h" });
    const first = await ended(id);
    await tamper(objectOf(id), "UPDATE batch SET expires_at = ?", Date.now() - HOUR_MS);
    const again = await steer(id, "retry");
    expect(first.muster.run).toBe(1);
    expect(again).toMatchObject({
      status: "in_progress",
      completed_at: null,
      finalizing_at: null,
      output_file_id: null,
      error_file_id: null,
      muster: { run: 2, audit: { outcomes_sha256: null } },
    });
    const windowS = (again.expires_at ?? 0) - Math.floor(Date.now() / 1000);
    expect(windowS).toBeGreaterThan(7_200 - 60);
    expect(windowS).toBeLessThanOrEqual(7_200);
    expect(await ended(id)).toMatchObject({ status: "completed", muster: { run: 2 } });
  });

  it("sends a second webhook with an id of its own", async () => {
    const path = `/ok/${crypto.randomUUID()}`;
    const webhook = { url: `${inject("receiverUrl")}${path}` };
    const { id } = await open({ model: "m", prompts: [unique("[503 run]")], webhook });
    await ended(id);
    await steer(id, "retry");
    await ended(id);
    const sent = await until(
      () => deliveriesOf(id),
      (all) => all.length === 2 && all.every(({ state }) => state === "delivered"),
    );
    const got = (await receivedAt(path)).map(({ headers }) => headers["webhook-id"]);
    expect(got.sort()).toEqual(sent.map((one) => one.id).sort());
    expect(new Set(got).size).toBe(2);
  });

  it("after it was cancelled runs what was left", async () => {
    const batch = newBatch();
    const prompts = [unique("left"), unique("left"), unique("left")];
    await plant(batch, prompts, NOTHING);
    await steer(batch.batch_id, "cancel");
    expect((await ended(batch.batch_id)).status).toBe("cancelled");
    await steer(batch.batch_id, "retry");
    const end = await ended(batch.batch_id);
    expect(end).toMatchObject({
      status: "completed",
      cancelled_at: null,
      cancelling_at: null,
      muster: { counts: { succeeded: 3, cancelled: 0 } },
    });
    expect(await callsOf(prompts)).toEqual([1, 1, 1]);
  });

  it("after it expired runs what was left", async () => {
    const batch = newBatch({ expires_at: Date.now() - 1 });
    await plant(batch, [unique("left")], NOTHING);
    await stubOf(batch).poke();
    expect((await ended(batch.batch_id)).status).toBe("expired");
    await steer(batch.batch_id, "retry");
    expect(await ended(batch.batch_id)).toMatchObject({
      status: "completed",
      expired_at: null,
      muster: { counts: { succeeded: 1, expired: 0 } },
    });
  });

  it("twice at the same moment is retried once", async () => {
    const prompt = unique("[400]");
    const { id } = await open({ model: "m", prompts: [prompt] });
    await ended(id);
    const both = await Promise.all([
      post(`/v1/batches/${id}/retry`, ""),
      post(`/v1/batches/${id}/retry`, ""),
    ]);
    const { muster } = await ended(id);
    const allowed = both.filter(({ status }) => status === 200).length;
    expect(allowed).toBeGreaterThanOrEqual(1);
    expect(muster.run).toBe(1 + allowed);
    expect(await callsOf([prompt])).toEqual([1 + allowed]);
    expect(await outputLines(id)).toHaveLength(1);
  });

  it("while it runs is a 400 and changes nothing", async () => {
    const batch = newBatch();
    await plant(batch, [unique("runs")], NOTHING);
    const response = await post(`/v1/batches/${batch.batch_id}/retry`, "");
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: "batch_not_retryable" });
    expect((await look(batch.batch_id)).muster.run).toBe(1);
  });

  it("with nothing to retry is a 400 and sends no second webhook", async () => {
    const path = `/ok/${crypto.randomUUID()}`;
    const webhook = { url: `${inject("receiverUrl")}${path}` };
    const { id } = await open({ model: "m", prompts: [unique("all fine")], webhook });
    const end = await ended(id);
    const response = await post(`/v1/batches/${id}/retry`, "");
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: "nothing_to_retry" });
    expect(await look(id)).toEqual(end);
    expect(await deliveriesOf(id)).toHaveLength(1);
  });
});

describe("a batch that is not mine", () => {
  it.each(["pause", "resume", "retry", "cancel"])("is a 404 to %s, and goes on", async (step) => {
    const { id } = await open({ model: "m", prompts: [unique("not yours")] });
    expect((await post(`/v1/batches/${id}/${step}`, "", OTHER_KEY)).status).toBe(404);
    expect(await ended(id)).toMatchObject({ status: "completed", muster: { run: 1 } });
  });
});
