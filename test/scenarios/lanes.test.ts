import { afterEach, expect, it } from "vitest";
import type { SimulatorSettings } from "../../src/simulator/index.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import type { TaskObject } from "../../src/wire/task.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";

/** One slow call among many: it holds its own lane and nothing else, nor does anything wait for it. */

const SLOW_MS = 30_000;
const CONCURRENCY = 10;

let muster: Running | undefined;
afterEach(() => muster?.stop());

async function read<T>(path: string): Promise<T> {
  const response = await muster?.get(path);
  return (await response?.json()) as T;
}

/** Opens a batch whose first call takes {@link SLOW_MS}, and waits until all others are done. */
async function run(prompts: string[], settings: SimulatorSettings, vars: Record<string, string>) {
  muster = await startTestMuster(
    {
      ...settings,
      faults: [{ kind: "pretty", match: "[slow]", attempts: "always", afterMs: SLOW_MS }],
    },
    { UPSTREAM_MAX_CONCURRENCY: String(CONCURRENCY), ...vars },
  );
  const opened = await muster.post("/batches", { model: "m", prompts });
  const { id } = (await opened.json()) as BatchObject;
  await until(
    () => read<BatchObject>(`/batches/${id}`),
    ({ request_counts }) => request_counts.completed === prompts.length - 1,
    SLOW_MS,
  );
  return read<TaskObject>(`/batches/${id}/tasks/task-0`);
}

const promptsOf = (count: number) =>
  Array.from({ length: count }, (_, index) => `${index === 0 ? "[slow]" : "quick"} ${index}`);

it("lanes refill without a barrier: all others are done while the slow one goes on", async () => {
  const slow = await run(promptsOf(300), { latency: { kind: "fixed", ms: 50 } }, {});
  expect(slow.state).toBe("running");
  expect(slow.attempts).toHaveLength(1);
});

it("an invocation whose time is over is replaced while its slowest call goes on", async () => {
  // Several slices' worth of work.
  const slow = await run(
    promptsOf(400),
    { latency: { kind: "fixed", ms: 100 } },
    { CONSUMER_SLICE_MS: "1000" },
  );
  expect(slow.state).toBe("running");
  expect(slow.attempts).toHaveLength(1);
});
