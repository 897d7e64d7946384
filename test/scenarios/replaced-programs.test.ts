import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { promptDigest } from "../../src/simulator/index.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import type { Summary } from "../../src/wire/results.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";

/**
 * The programs people write first, on their own workload: 100 prompts, max_tokens 500, a timeout, a
 * 401 and a 429 among them. What each of them got wrong stands in its test's name.
 */

let muster: Running;

beforeAll(async () => {
  muster = await startTestMuster(
    {
      latency: { kind: "lognormal", medianMs: 60, sigma: 0.6, maxMs: 400 },
      faults: [
        { kind: "hang", match: "[timeout]", attempts: "first" },
        { kind: "status", code: 401, match: "[401]", attempts: "always" },
        { kind: "status", code: 429, match: "[429]", attempts: "first", retryAfterMs: 300 },
      ],
    },
    { UPSTREAM_MAX_CONCURRENCY: "100", UPSTREAM_TIMEOUT_MS: "2000" },
  );
});
afterAll(() => muster.stop());

const MARKS: Record<number, string> = { 17: "[timeout]", 42: "[401]", 77: "[429]" };

async function run(name: string, lanes: number): Promise<{ prompts: string[]; summary: Summary }> {
  muster.simulator.reset();
  const prompts = Array.from({ length: 100 }, (_, i) => `${name} question ${i} ${MARKS[i] ?? ""}`);
  const response = await muster.post("/batches", {
    model: "gpt-4o",
    prompts,
    max_tokens: 500,
    max_concurrency: lanes,
  });
  const { id } = (await response.json()) as BatchObject;
  await until(
    async () => (await (await muster.get(`/batches/${id}`)).json()) as BatchObject,
    ({ status }) => status === "completed",
  );
  const summary = (await (await muster.get(`/batches/${id}/results`)).json()) as Summary;
  return { prompts, summary };
}

function expectWhole({ prompts, summary }: { prompts: string[]; summary: Summary }): void {
  expect(summary).toMatchObject({ total: 100, success_count: 99, error_count: 1 });
  const ids = [...summary.success, ...summary.errors].map(({ task_id }) => task_id);
  expect(new Set(ids)).toEqual(new Set(prompts.map((_, index) => `task-${index}`)));
  for (const { task_id, content } of summary.success) {
    const prompt = prompts[Number(task_id.slice("task-".length))] ?? "";
    const body = { messages: [{ role: "user", content: prompt }] };
    expect(content).toContain(`digest:${promptDigest("/v1/chat/completions", body)}`);
  }
  expect(summary.errors).toEqual([
    { task_id: "task-42", status_code: 401, retry: false, error: expect.any(String) },
  ]);
}

describe("the programs it replaces", () => {
  it("100 threads on one list: 100 of 100 results, each under its own task", async () => {
    expectWhole(await run("threads", 100));
    expect(muster.simulator.stats()).toMatchObject({ calls: 102, duplicates: 0 });
  });

  it("a semaphore of 10 in a pool of 20: 10 calls at once, the retryable errors retried", async () => {
    expectWhole(await run("semaphore", 10));
    expect(muster.simulator.stats().mostInFlight).toBeLessThanOrEqual(10);
    expect(muster.simulator.stats().byStatus).toMatchObject({ 200: 99, 401: 1, 429: 1, hang: 1 });
  });

  it("asyncio with a semaphore of 50: 50 calls at once, the 401 told and not repeated", async () => {
    expectWhole(await run("asyncio", 50));
    expect(muster.simulator.stats().mostInFlight).toBeLessThanOrEqual(50);
    expect(muster.simulator.stats().byStatus[401]).toBe(1);
  });
});
