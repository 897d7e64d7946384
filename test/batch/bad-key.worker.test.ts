import { afterEach, describe, expect, inject, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import { ended, open, outputLines, post, results, unique } from "../support/worker/client.ts";
import { callsOf } from "../support/worker/faults.ts";

const TASKS = 200;
/** After so many 401s in a row the key is taken for bad. */
const IN_A_ROW = 5;
/** Calls in flight at most; see wrangler.toml. */
const IN_FLIGHT = 50;

/** Gives the simulator its settings again, without the fault that a marker chooses. */
async function configure(without?: string): Promise<void> {
  const settings = inject("upstreamSettings");
  const faults = settings.faults.filter(({ match }) => match !== without);
  const response = await fetch(new URL("/_sim/settings", inject("upstreamUrl")), {
    method: "PUT",
    body: JSON.stringify({ ...settings, faults }),
  });
  expect(response.status).toBe(200);
}

const refused = () => Array.from({ length: TASKS }, (_, n) => unique(`[bad key] ${n}`));
const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);

describe("a key that the upstream refuses", () => {
  afterEach(() => configure());

  it("burns a few calls and no more, and ends the batch", async () => {
    const prompts = refused();
    const { id } = await open({ model: "m", prompts });
    const end = await ended(id);
    expect(end).toMatchObject({ status: "completed", request_counts: { failed: TASKS } });
    const calls = sum(await callsOf(prompts));
    expect(calls).toBeGreaterThanOrEqual(IN_A_ROW);
    expect(calls).toBeLessThanOrEqual(IN_A_ROW + IN_FLIGHT);
  });

  it("burns fewer when fewer calls may be in flight", async () => {
    const prompts = refused();
    const { id } = await open({ model: "m", prompts, max_concurrency: 2 });
    await ended(id);
    expect(sum(await callsOf(prompts))).toBeLessThanOrEqual(IN_A_ROW + 2);
  });

  it("fails the tasks it did not call with retry: true, and says why", async () => {
    const prompts = refused();
    const { id } = await open({ model: "m", prompts, max_concurrency: 5 });
    await ended(id);
    const calls = await callsOf(prompts);
    const lines = await outputLines(id);
    const { errors } = await results(id);
    expect(lines).toHaveLength(TASKS);
    for (const [n, line] of lines.entries()) {
      if (calls[n] === 0) {
        expect(line).toMatchObject({ response: null, error: { code: "upstream_unauthorized" } });
        expect(errors[n]?.error).toContain("UPSTREAM_API_KEY");
        expect(errors[n]?.retry).toBe(true);
      } else {
        expect(line).toMatchObject({ response: { status_code: 401 }, error: null });
      }
    }
  });

  it("once it is mended lets a retry complete every task", async () => {
    const prompts = refused();
    const { id } = await open({ model: "m", prompts });
    await ended(id);
    await configure("[bad key]");
    const response = await post(`/v1/batches/${id}/retry`, "");
    expect(response.status).toBe(200);
    const again: BatchObject = await response.json();
    expect(again).toMatchObject({ status: "in_progress", muster: { run: 2 } });
    const end = await ended(id);
    expect(end.request_counts).toEqual({ total: TASKS, completed: TASKS, failed: 0 });
    expect(await outputLines(id)).toHaveLength(TASKS);
  });

  it("is not suspected for 401s that come between successes", async () => {
    const prompts = Array.from({ length: 40 }, (_, n) => unique(n % 2 ? "fine" : "[401]"));
    const { id } = await open({ model: "m", prompts, max_concurrency: 1 });
    const end = await ended(id);
    expect(end.request_counts).toEqual({ total: 40, completed: 20, failed: 20 });
    expect(await callsOf(prompts)).toEqual(prompts.map(() => 1));
  });
});
