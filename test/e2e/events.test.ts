import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import type { Summary } from "../../src/wire/results.ts";
import { eventsOf, type Heard, hearAll, tasksOf } from "../support/events.ts";
import { type LossyProxy, startLossyProxy } from "../support/lossy-proxy.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";

/** A batch followed live, as a client does: over HTTP, with the parser that people use. */

const TASKS = 1_000;
const CONCURRENCY = 50;

let muster: Running;
let proxy: LossyProxy;

beforeAll(async () => {
  muster = await startTestMuster(
    {
      latency: { kind: "lognormal", medianMs: 60, sigma: 0.5, maxMs: 1_000 },
      faults: [
        { kind: "status", code: 500, rate: 0.03, attempts: "first" },
        { kind: "status", code: 400, match: "[refused]", attempts: "always" },
      ],
    },
    { UPSTREAM_MAX_CONCURRENCY: String(CONCURRENCY), CLAIM_TTL_MS: "1500" },
  );
  proxy = await startLossyProxy(() => muster.url);
});
afterAll(async () => {
  await proxy.close();
  await muster.stop();
});

async function open(name: string): Promise<string> {
  const prompts = Array.from({ length: TASKS }, (_, index) =>
    index % 100 === 7 ? `[refused] ${name} ${index}` : `${name} 質問 ${index}`,
  );
  const response = await muster.post("/batches", { model: "m", prompts });
  return ((await response.json()) as BatchObject).id;
}

async function results(id: string): Promise<Summary> {
  return (await (await muster.get(`/batches/${id}/results`)).json()) as Summary;
}

/** That what was heard is the batch's results, each once, in places without a gap. */
async function expectAll(id: string, heard: readonly Heard[]): Promise<void> {
  const tasks = tasksOf(heard);
  expect(tasks.map(({ id }) => id)).toEqual(Array.from({ length: TASKS }, (_, index) => index + 1));
  const { success, errors } = await results(id);
  expect([success.length, errors.length]).toEqual([TASKS - TASKS / 100, TASKS / 100]);
  const told = new Map(tasks.map(({ task }) => [task.task_id, task.result]));
  for (const entry of [...success, ...errors]) expect(told.get(entry.task_id)).toEqual(entry);
  expect(told.size).toBe(TASKS);
  const end = heard.at(-1);
  expect(end).toMatchObject({ kind: "end", id: `${TASKS + 1}`, batch: { status: "completed" } });
}

describe(`a batch of ${TASKS} tasks, followed live`, () => {
  it("is told task by task while it runs, and to the end: what was told are its results", async () => {
    const id = await open("live");
    const heard: Heard[] = [];
    let running: number | undefined;
    for await (const one of eventsOf(await muster.get(`/batches/${id}/events?tasks=result`))) {
      heard.push(one);
      if (one.kind === "task") running ??= muster.simulator.stats().answered;
    }
    // The first task was heard long before the last was answered: nothing on the way gathers.
    expect(running).toBeLessThan(TASKS / 2);
    expect(heard.filter(({ kind }) => kind === "progress").length).toBeGreaterThan(1);
    await expectAll(id, heard);
  });

  it("over a connection that is cut again and again has no gap and no double", async () => {
    const id = await open("cut");
    const heard: Heard[] = [];
    let last = "";
    let streams = 0;
    let cutAfter = 40;
    while (heard.at(-1)?.kind !== "end") {
      streams += 1;
      const headers = {
        authorization: `Bearer ${muster.apiKey}`,
        ...(last && { "last-event-id": last }),
      };
      let told = 0;
      try {
        const url = `${proxy.url}/v1/batches/${id}/events?tasks=result`;
        for await (const one of eventsOf(await fetch(url, { headers }))) {
          heard.push(one);
          if (one.kind !== "task") continue;
          last = `${one.id}`;
          told += 1;
          if (told === cutAfter) proxy.cut();
        }
      } catch {
        // Cut: in the middle of an event, as often as not. It is told again as a whole.
      }
      cutAfter = (cutAfter * 7) % 90;
    }
    expect(streams).toBeGreaterThan(5);
    await expectAll(id, heard);
  });

  it("through kill -9 in the middle has no gap and no double", async () => {
    const id = await open("killed");
    const heard: Heard[] = [];
    let last = "";
    let kills = 0;
    while (heard.at(-1)?.kind !== "end") {
      try {
        const headers: Record<string, string> = last ? { "last-event-id": last } : {};
        for await (const one of eventsOf(
          await muster.get(`/batches/${id}/events?tasks=result`, headers),
        )) {
          heard.push(one);
          if (one.kind !== "task") continue;
          last = `${one.id}`;
          if (kills < 2 && one.id >= (kills + 1) * 300) {
            kills += 1;
            await muster.kill();
            await muster.restart();
          }
        }
      } catch {
        // Killed under us.
      }
    }
    expect(kills).toBe(2);
    await expectAll(id, heard);
  });

  it("is heard by many at once, each of whom hears all", async () => {
    const id = await open("many");
    const all = await Promise.all(
      Array.from({ length: 25 }, async () =>
        hearAll(await muster.get(`/batches/${id}/events?tasks=result`)),
      ),
    );
    for (const heard of all) expect(tasksOf(heard)).toEqual(tasksOf(all[0] ?? []));
    await expectAll(id, all[0] ?? []);
  });

  it("is waited for without a stream: Prefer: wait", async () => {
    const id = await open("waited for");
    const batch = await until(
      async () => {
        const response = await muster.get(`/batches/${id}`, { prefer: "wait=30" });
        expect(response.headers.get("preference-applied")).toBe("wait=30");
        return (await response.json()) as BatchObject;
      },
      ({ status }) => status === "completed",
    );
    expect(batch.request_counts.total).toBe(TASKS);
  });
});
