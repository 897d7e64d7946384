import { describe, expect, it } from "vitest";
import { call, ended, errorOf, OTHER_KEY, open, post, unique } from "../support/worker/client.ts";
import { HOUR_MS, say, taskOf } from "../support/worker/faults.ts";
import { newBatch, plant, report, stubOf } from "../support/worker/store.ts";

const BYTES = 1_000_000;
const NOTHING = () => undefined;
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

describe("GET /v1/batches/{id}/tasks/{custom_id}, for a task that", () => {
  it("was never tried, has no attempt and no time of its next one", async () => {
    const batch = newBatch();
    await plant(batch, [unique("fresh"), unique("fresh")], NOTHING);
    expect(await taskOf(batch.batch_id, "task-1")).toEqual({
      task_id: "task-1",
      object: "batch.task",
      batch_id: batch.batch_id,
      index: 1,
      state: "pending",
      attempts: [],
      next_attempt_at: null,
      same_as: null,
      request: { model: "m", messages: [{ role: "user", content: expect.any(String) }] },
      outcome: null,
    });
  });

  it("runs, has an attempt that has not ended", async () => {
    const batch = newBatch();
    await plant(batch, [unique("running")], NOTHING);
    await say(batch, { holder: "h", want: 1 });
    expect(await taskOf(batch.batch_id)).toMatchObject({
      state: "running",
      attempts: [
        {
          attempt: 1,
          result: "running",
          started_at: expect.stringMatching(RFC_3339),
          ended_at: null,
          latency_ms: null,
          status_code: null,
          error: null,
        },
      ],
      next_attempt_at: null,
      same_as: null,
    });
  });

  it("waits for its retry, tells when that is", async () => {
    const batch = newBatch();
    await plant(batch, [unique("waits")], NOTHING);
    await say(batch, { holder: "h", want: 1 });
    const reports = [report(0, 1, { kind: "retry", afterMs: HOUR_MS })];
    await say(batch, { holder: "h", reports });
    const task = await taskOf(batch.batch_id);
    expect(task).toMatchObject({
      state: "pending",
      attempts: [{ attempt: 1, result: "retry", latency_ms: 12, error: "No answer." }],
    });
    const waitsMs =
      Date.parse(task.next_attempt_at ?? "") - Date.parse(task.attempts[0]?.ended_at ?? "");
    expect(waitsMs).toBe(HOUR_MS);
  });

  it("was retried and succeeded, has both attempts with status, time and latency", async () => {
    const { id } = await open({ model: "m", prompts: [unique("[503 first]")] });
    await ended(id);
    const task = await taskOf(id);
    expect(task).toMatchObject({
      state: "succeeded",
      attempts: [
        { attempt: 1, result: "retry", status_code: 503, error: "The upstream answered 503." },
        { attempt: 2, result: "succeeded", status_code: 200, error: null },
      ],
      next_attempt_at: null,
      same_as: null,
    });
    for (const { started_at, ended_at, latency_ms } of task.attempts) {
      expect(latency_ms).toBeGreaterThanOrEqual(0);
      expect(Date.parse(ended_at ?? "")).toBeGreaterThanOrEqual(Date.parse(started_at));
    }
  });

  it("failed, has all its attempts and why each of them failed", async () => {
    const { id } = await open({ model: "m", prompts: [unique("[503 always]")] });
    await ended(id);
    const { state, attempts } = await taskOf(id);
    expect(state).toBe("failed");
    expect(attempts.map(({ attempt, result }) => [attempt, result])).toEqual([
      [1, "retry"],
      [2, "retry"],
      [3, "retry"],
      [4, "failed"],
    ]);
    for (const { status_code, error } of attempts) {
      expect([status_code, error]).toEqual([503, "The upstream answered 503."]);
    }
  });

  it("got no answer, has the reason and no status", async () => {
    const { id } = await open({ model: "m", prompts: [unique("[huge]")] });
    await ended(id);
    expect((await taskOf(id)).attempts).toMatchObject([
      { result: "failed", status_code: null, error: expect.stringContaining("longer than") },
    ]);
  });

  it("was lost with its consumer, says that this is all that is known", async () => {
    const batch = newBatch();
    await plant(batch, [unique("lost")], (store) => {
      store.holders.seen("ghost", Date.now() - HOUR_MS);
      store.tasks.claim(1, "ghost", BYTES, Date.now() - HOUR_MS);
    });
    await stubOf(batch).poke();
    await ended(batch.batch_id);
    expect(await taskOf(batch.batch_id)).toMatchObject({
      state: "succeeded",
      attempts: [
        {
          attempt: 1,
          result: "lost",
          latency_ms: null,
          status_code: null,
          error: expect.stringContaining("whether it called is not known"),
        },
        { attempt: 2, result: "succeeded" },
      ],
    });
  });

  it("was throttled, has the 429 among its attempts", async () => {
    const { id } = await open({ model: "m", prompts: [unique("[429 first]")] });
    await ended(id);
    expect((await taskOf(id)).attempts).toMatchObject([
      { result: "throttled", status_code: 429 },
      { result: "succeeded" },
    ]);
  });

  it("was cancelled before its turn, has no attempt", async () => {
    const batch = newBatch();
    await plant(batch, [unique("cancelled")], NOTHING);
    await stubOf(batch).cancel();
    await ended(batch.batch_id);
    expect(await taskOf(batch.batch_id)).toMatchObject({
      state: "cancelled",
      attempts: [],
      next_attempt_at: null,
      same_as: null,
    });
  });

  it("was cancelled while it waited for its retry, keeps the attempt it had", async () => {
    const batch = newBatch();
    await plant(batch, [unique("cancelled")], NOTHING);
    await say(batch, { holder: "h", want: 1 });
    const reports = [report(0, 1, { kind: "retry", afterMs: HOUR_MS })];
    await say(batch, { holder: "h", reports });
    await stubOf(batch).cancel();
    await ended(batch.batch_id);
    expect(await taskOf(batch.batch_id)).toMatchObject({
      state: "cancelled",
      attempts: [{ attempt: 1, result: "retry" }],
      next_attempt_at: null,
      same_as: null,
    });
  });

  it("was retried by its client, keeps the attempts of the run before", async () => {
    const { id } = await open({ model: "m", prompts: [unique("[503 run]")] });
    await ended(id);
    await post(`/v1/batches/${id}/retry`, "");
    await ended(id);
    const { state, attempts } = await taskOf(id);
    expect(state).toBe("succeeded");
    expect(attempts.map(({ attempt, result }) => [attempt, result])).toEqual([
      [1, "retry"],
      [2, "retry"],
      [3, "retry"],
      [4, "failed"],
      [5, "succeeded"],
    ]);
    expect(attempts[3]).toMatchObject({ status_code: 503, error: "The upstream answered 503." });
  });

  it("was retried by its client and cancelled before its turn, can still be asked for", async () => {
    const { id } = await open({ model: "m", prompts: [unique("[400]"), unique("fine")] });
    await ended(id);
    // Paused in one turn with the retry: nothing of the second run is called.
    const stub = stubOf(newBatch({ batch_id: id }));
    await Promise.all([stub.retry({}), stub.pause()]);
    await stub.cancel();
    expect((await ended(id)).status).toBe("cancelled");
    expect(await taskOf(id)).toMatchObject({
      state: "cancelled",
      attempts: [{ attempt: 1, result: "failed", status_code: 400 }],
    });
  });
});

describe("GET /v1/batches/{id}/tasks/{custom_id}", () => {
  const STRANGE = [
    "a/b/c",
    "/",
    "100%",
    "%2F",
    "%E7%94%B2",
    "甲乙 🙂",
    "a b+c&d=e?f#g",
    "with\nline feed",
    "../../files",
    "__proto__",
    "'; DROP TABLE task; --",
    "\u00e9",
    "e\u0301",
    "x".repeat(512),
  ];

  it("finds a task by whatever custom_id it was given, and none by another", async () => {
    const { id } = await open({
      endpoint: "/v1/chat/completions",
      requests: STRANGE.map((custom_id) => ({
        custom_id,
        body: { model: "m", messages: [{ role: "user", content: unique("strange") }] },
      })),
    });
    for (const [index, custom_id] of STRANGE.entries()) {
      expect(await taskOf(id, custom_id)).toMatchObject({ task_id: custom_id, index });
    }
    await ended(id);
  });

  it("is a 404 that names the custom_id for a task that there is not", async () => {
    const { id } = await open({ model: "m", prompts: [unique("only one")] });
    for (const wrong of ["task-1", "task-00", "TASK-0", "task-0/", "%"]) {
      const response = await call(`/v1/batches/${id}/tasks/${encodeURIComponent(wrong)}`);
      expect(response.status).toBe(404);
      expect(await errorOf(response)).toMatchObject({ code: "not_found", param: "custom_id" });
    }
    await ended(id);
  });

  it("is a 404 for another project and for a batch that there is not", async () => {
    const { id } = await open({ model: "m", prompts: [unique("mine")] });
    expect((await call(`/v1/batches/${id}/tasks/task-0`, {}, OTHER_KEY)).status).toBe(404);
    const unknown = newBatch().batch_id;
    expect((await call(`/v1/batches/${unknown}/tasks/task-0`)).status).toBe(404);
    await ended(id);
  });

  it("holds the request and the output line as they are, numbers past 2^53 too, and no key", async () => {
    const prompt = unique("exactly");
    const body = `{"model":"m","seed":12345678901234567890,"messages":[{"role":"user","content":"${prompt}"}]}`;
    const request = `{"endpoint":"/v1/chat/completions","requests":[{"custom_id":"a","body":${body}}]}`;
    const opened: { id: string } = await (await post("/v1/batches", request)).json();
    await ended(opened.id);
    const text = await (await call(`/v1/batches/${opened.id}/tasks/a`)).text();
    expect(text).toContain(`"request":${body},"outcome":{"id":"batch_req_`);
    expect(JSON.parse(text)).toMatchObject({ outcome: { response: { status_code: 200 } } });
    expect(text).not.toContain("sk-upstream");
  });
});
