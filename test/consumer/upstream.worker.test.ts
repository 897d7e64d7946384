import { describe, expect, inject, it } from "vitest";
import { callUpstream } from "../../src/consumer/call.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import type { TaskObject } from "../../src/wire/task.ts";
import { callGround } from "../support/call-ground.ts";
import { upstreamAt } from "../support/upstream.ts";
import {
  ended,
  look,
  open,
  outputLines,
  results,
  unique,
  until,
} from "../support/worker/client.ts";
import { HOUR_MS, receivedAt, taskOf, upstreamOf } from "../support/worker/faults.ts";
import { chat, newBatch, plant, stubOf, tamper } from "../support/worker/store.ts";

/** A task is tried so often, and a call may take so long, by the worker tests' configuration. */
const ATTEMPTS = 4;
const TIMEOUT_MS = 3_000;

/** Runs one prompt to its end, and tells all there is to tell about it. */
async function run(marker: string) {
  const prompt = unique(marker);
  const { id } = await open({ model: "m", prompts: [prompt] });
  const batch = await ended(id);
  const [line] = await outputLines(id);
  const [error] = (await results(id)).errors;
  return { batch, line, error, task: await taskOf(id), upstream: await upstreamOf(prompt) };
}

const resultsOf = ({ attempts }: TaskObject) => attempts.map(({ result }) => result);

/** Runs one prompt until its task waits for its second attempt, and cancels the batch then. */
async function parked(marker: string): Promise<{ endedMs: number; nextMs: number; calls: number }> {
  const prompt = unique(marker);
  const batch = newBatch();
  await plant(batch, [prompt], () => undefined);
  await stubOf(batch).poke();
  const task = await until(
    () => taskOf(batch.batch_id),
    ({ state, attempts }) => state === "pending" && attempts.length === 1,
  );
  await stubOf(batch).cancel();
  await ended(batch.batch_id);
  return {
    endedMs: Date.parse(task.attempts[0]?.ended_at ?? ""),
    nextMs: Date.parse(task.next_attempt_at ?? ""),
    calls: (await upstreamOf(prompt)).calls,
  };
}

/** The date that `[after a date]` tells: an hour after the tests started. */
function toldDateMs(): number {
  const { faults } = inject("upstreamSettings");
  const told = faults.find(({ match }) => match === "[after a date]");
  return Date.parse(told?.headers?.["retry-after"] ?? "");
}

describe.concurrent("an answer that comes late", () => {
  it("with its headers is waited for", async () => {
    const { batch, task } = await run("[slow] headers");
    expect(batch.request_counts.completed).toBe(1);
    expect(task.attempts).toHaveLength(1);
    expect(task.attempts[0]?.latency_ms).toBeGreaterThanOrEqual(390);
  });

  it("piece by piece is put together", async () => {
    const report = await callDirectly(`${inject("receiverUrl")}/drip`, TIMEOUT_MS);
    expect(report).toMatchObject({
      verdict: { kind: "succeeded" },
      result: { status: 200, body: '{"object":"chat.completion","choices":[]}' },
    });
  });

  it.each([
    ["with no headers ever", "[hang first]"],
    ["with half a body and no more", "[hang body first]"],
  ])("%s times out once, and the task is called again", async (_, marker) => {
    const { batch, task, upstream } = await run(marker);
    expect(batch.request_counts).toEqual({ total: 1, completed: 1, failed: 0 });
    expect(resultsOf(task)).toEqual(["retry", "succeeded"]);
    expect(task.attempts[0]).toMatchObject({
      status_code: null,
      error: `No whole answer within ${TIMEOUT_MS} ms.`,
    });
    expect(upstream).toMatchObject({ calls: 2, answers: 1 });
  });

  it("at every attempt fails the task as a timeout that is worth another try", async () => {
    const { line, error, upstream } = await run("[hang always]");
    expect(line).toMatchObject({ response: null, error: { code: "timeout" } });
    expect(error?.retry).toBe(true);
    expect(upstream.calls).toBe(ATTEMPTS);
  });
});

describe.concurrent("an answer that is not whole", () => {
  it.each([
    ["cut short of its content-length", "[truncated first]"],
    ["cut between two chunks", "[cut first]"],
    ["reset before its headers", "[reset first]"],
    ["200 with a page of HTML", "[not json first]"],
  ])("%s is no answer, and the task is called again", async (_, marker) => {
    const { batch, task, upstream } = await run(marker);
    expect(batch.request_counts).toEqual({ total: 1, completed: 1, failed: 0 });
    expect(resultsOf(task)).toEqual(["retry", "succeeded"]);
    expect(upstream).toMatchObject({ calls: 2, answers: 1 });
  });

  it.each([
    ["truncated", "[truncated]", "truncated_response"],
    ["reset", "[reset]", "connection_error"],
    ["not JSON", "[not json]", "invalid_response"],
  ])("%s at every attempt fails the task with a code that says so", async (_, marker, code) => {
    const { line, error, upstream } = await run(marker);
    expect(line).toMatchObject({ response: null, error: { code } });
    expect(error).toMatchObject({ retry: true });
    expect(upstream.calls).toBe(ATTEMPTS);
  });

  it("because it is longer than a row fails the task after one call, for good", async () => {
    const { line, error, upstream } = await run("[huge]");
    expect(line).toMatchObject({ response: null, error: { code: "response_too_large" } });
    expect(error?.retry).toBe(false);
    expect(upstream.calls).toBe(1);
  });
});

describe.concurrent("a status", () => {
  it.each([408, 409, 500, 502, 503, 504, 529])("%i is tried again", async (code) => {
    const { batch, task, upstream } = await run(`[${code} first]`);
    expect(batch.request_counts).toEqual({ total: 1, completed: 1, failed: 0 });
    expect(task.attempts).toMatchObject([
      { result: "retry", status_code: code },
      { result: "succeeded", status_code: 200 },
    ]);
    expect(upstream).toMatchObject({ calls: 2, answers: 1 });
  });

  it.each([408, 409, 500, 502, 503, 504, 529])(
    "%i at every attempt fails the task with the upstream's words",
    async (code) => {
      const { line, error, upstream } = await run(`[${code} always]`);
      expect(line).toMatchObject({ response: { status_code: code }, error: null });
      expect(error).toMatchObject({ status_code: code, retry: true });
      expect(error?.error).toContain(`${code}`);
      expect(upstream.calls).toBe(ATTEMPTS);
    },
  );

  it.each([400, 401, 403, 404, 413, 422])("%i fails the task after one call", async (code) => {
    const { line, error, upstream } = await run(`[${code}]`);
    expect(line).toMatchObject({ response: { status_code: code, body: { error: {} } } });
    expect(error).toMatchObject({ status_code: code, retry: false });
    expect(upstream.calls).toBe(1);
  });

  it("429 costs the task none of its attempts", async () => {
    const { batch, task } = await run("[429 six]");
    expect(batch.request_counts.completed).toBe(1);
    expect(resultsOf(task).filter((result) => result === "throttled")).toHaveLength(6);
    expect(resultsOf(task).at(-1)).toBe("succeeded");
    expect(task.attempts.length).toBeGreaterThan(ATTEMPTS);
  });

  it("429 about money fails the task after one call, without waiting", async () => {
    const { line, error, upstream } = await run("[no money]");
    expect(line).toMatchObject({
      response: { status_code: 429, body: { error: { code: "insufficient_quota" } } },
    });
    expect(error).toMatchObject({ status_code: 429, retry: false });
    expect(upstream.calls).toBe(1);
  });
});

describe("x-should-retry", () => {
  it.each([
    [503, "[503 do not]"],
    [429, "[429 do not]"],
  ])("false ends a %i after one call", async (code, marker) => {
    const { error, upstream } = await run(marker);
    expect(error).toMatchObject({ status_code: code, retry: false });
    expect(upstream.calls).toBe(1);
  });

  it("true has even a 400 tried again", async () => {
    const { batch, task } = await run("[400 do]");
    expect(batch.request_counts.completed).toBe(1);
    expect(task.attempts).toMatchObject([{ result: "retry", status_code: 400 }, {}]);
  });
});

describe("retry-after", () => {
  it.each([
    ["in seconds", "[after an hour]"],
    ["as a date", "[after a date]"],
  ])("%s parks the task for as long", async (_, marker) => {
    const { endedMs, nextMs, calls } = await parked(marker);
    const atMs = marker === "[after a date]" ? toldDateMs() : endedMs + HOUR_MS;
    expect(nextMs).toBeGreaterThanOrEqual(atMs);
    expect(nextMs).toBeLessThan(atMs + 60_000);
    expect(calls).toBe(1);
  });

  it.each([
    ["as a fraction of a second", "[after a fraction]"],
    ["in milliseconds, which win over seconds", "[after ms]"],
  ])("%s is waited for, longer than the backoff alone", async (_, marker) => {
    const { batch, task } = await run(marker);
    expect(batch.request_counts.completed).toBe(1);
    const [first, second] = task.attempts;
    const restedMs = Date.parse(second?.started_at ?? "") - Date.parse(first?.ended_at ?? "");
    expect(restedMs).toBeGreaterThanOrEqual(300);
    expect(restedMs).toBeLessThan(HOUR_MS);
  });

  it("that is past is no wait", async () => {
    const { batch, upstream } = await run("[after the past]");
    expect(batch.request_counts.completed).toBe(1);
    expect(upstream.calls).toBe(2);
  });

  it("of ages is obeyed up to the batch's window, and the task expires", async () => {
    const prompt = unique("[after ages]");
    const batch = newBatch();
    await plant(batch, [prompt], () => undefined);
    const stub = stubOf(batch);
    await stub.poke();
    const task = await until(
      () => taskOf(batch.batch_id),
      ({ state, attempts }) => state === "pending" && attempts.length === 1,
    );
    expect(Date.parse(task.next_attempt_at ?? "")).toBeGreaterThan(batch.expires_at);
    await tamper(stub, "UPDATE batch SET expires_at = ?", Date.now() - 1);
    await stub.poke();
    const end: BatchObject = await ended(batch.batch_id);
    expect(end).toMatchObject({ status: "expired", muster: { counts: { expired: 1 } } });
    expect((await upstreamOf(prompt)).calls).toBe(1);
  });
});

describe("a redirect", () => {
  it("fails the task after one call, and the key goes nowhere else", async () => {
    const { line, error, upstream } = await run("[redirect away]");
    expect(line).toMatchObject({ response: { status_code: 307 } });
    expect(error?.retry).toBe(false);
    expect(upstream.calls).toBe(1);
    expect(await receivedAt("/ok/another-host")).toEqual([]);
  });

  it.each([301, 302, 303, 307, 308])("%i is not followed, not even on its host", async (code) => {
    const path = `/status/${code}/${crypto.randomUUID()}`;
    const report = await callDirectly(`${inject("receiverUrl")}${path}`, TIMEOUT_MS);
    expect(report).toMatchObject({ verdict: { kind: "failed" }, result: { status: code } });
    const [asked] = await receivedAt(`${path}/chat/completions`);
    expect(asked?.headers.authorization).toBe("Bearer sk-direct");
    expect(await receivedAt("/ok/another-path")).toEqual([]);
  });
});

describe("an upstream that cannot be reached", () => {
  it.each([
    ["refuses the connection", "http://127.0.0.1:1/v1"],
    ["has no address", "http://upstream.invalid/v1"],
  ])("because it %s is a connection_error that is tried again", async (_, baseUrl) => {
    const report = await callDirectly(baseUrl, 10_000);
    expect(report).toMatchObject({
      verdict: { kind: "retry" },
      result: { kind: "unanswered", code: "connection_error" },
    });
  });

  it("is told of without the key", async () => {
    const report = await callDirectly("http://127.0.0.1:1/v1", 10_000);
    expect(JSON.stringify(report)).not.toContain("sk-direct");
  });
});

describe("one fault among many tasks", () => {
  it("fails its own task and no other", async () => {
    const good = Array.from({ length: 20 }, () => unique("good"));
    const { id } = await open({
      model: "m",
      prompts: [...good, unique("[400]"), unique("[huge]")],
    });
    const end = await ended(id);
    expect(end.request_counts).toEqual({ total: 22, completed: 20, failed: 2 });
    expect((await look(id)).status).toBe("completed");
    const failed = (await results(id)).errors.map(({ task_id }) => task_id);
    expect(failed).toEqual(["task-20", "task-21"]);
  });
});

function callDirectly(baseUrl: string, timeoutMs: number) {
  const own = { name: "direct", apiKey: "sk-direct", timeoutMs };
  const upstream = upstreamAt(baseUrl, { maxConcurrency: 1 }, own);
  const body = chat("directly");
  const task = { seq: 0, attempt: 1, upstream: "direct", body, startInMs: 0 };
  return callUpstream(task, "/v1/chat/completions", upstream, callGround());
}
