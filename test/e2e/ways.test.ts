import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Simulator,
  type SimulatorSettings,
  startSimulator,
} from "../../src/simulator/index.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import type { TaskObject } from "../../src/wire/task.ts";
import type { UpstreamObject } from "../../src/wire/upstream.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";

/**
 * Two upstreams for each model, under a real `wrangler dev`: one stands in while the other is down or
 * rests, and both are used where the batch says so.
 */

/** Calls in flight that each upstream is configured for, and holds its clients to. */
const CALLS = 5;
const STEADY: SimulatorSettings = {
  latency: { kind: "fixed", ms: 100 },
  limits: { concurrency: CALLS },
};

/** By the upstreams' names: the first and the second of a model each. */
const simulators = new Map<string, Simulator>();
let muster: Running;

beforeAll(async () => {
  const upstreams: object[] = [];
  for (const model of ["down", "busy", "pool", "single"]) {
    for (const place of ["first", "second"]) {
      const name = `${model}-${place}`;
      const simulator = await startSimulator(STEADY);
      simulators.set(name, simulator);
      upstreams.push({
        name,
        base_url: simulator.url,
        models: [model],
        max_concurrency: CALLS,
        timeout_ms: 5_000,
      });
    }
  }
  muster = await startTestMuster({}, { UPSTREAMS: JSON.stringify(upstreams) });
});

afterAll(async () => {
  await muster.stop();
  for (const simulator of simulators.values()) await simulator.close();
});

function simulatorOf(name: string): Simulator {
  const simulator = simulators.get(name);
  if (simulator === undefined) throw new Error(`there is no simulator ${name}`);
  return simulator;
}

async function open(model: string, tasks: number, options: object = {}): Promise<string> {
  const prompts = Array.from({ length: tasks }, (_, index) => `${model} ${index}`);
  const response = await muster.post("/batches", { model, prompts, ...options });
  const batch = (await response.json()) as BatchObject;
  expect(batch).toMatchObject({ muster: { pool: "pool" in options } });
  return batch.id;
}

async function look(id: string): Promise<BatchObject> {
  return (await (await muster.get(`/batches/${id}`)).json()) as BatchObject;
}

async function ended(id: string): Promise<BatchObject> {
  const isEnded = ({ status }: BatchObject) => status === "completed";
  return await until(() => look(id), isEnded, 90_000);
}

/** The upstream of that name, as Muster tells of it. */
async function toldOf(name: string): Promise<UpstreamObject> {
  const list = (await (await muster.get("/upstreams")).json()) as { data: UpstreamObject[] };
  const found = list.data.find((one) => one.name === name);
  if (found === undefined) throw new Error(`Muster tells nothing of ${name}`);
  return found;
}

describe("a batch of which the first upstream is down", () => {
  it("goes on at the second, and comes back to the first when that is up", async () => {
    const first = simulatorOf("down-first");
    const second = simulatorOf("down-second");
    await first.close();
    const tasks = 500;
    const beganMs = Date.now();
    const id = await open("down", tasks);

    const down = await until(
      () => toldOf("down-first"),
      ({ health }) => health === "down",
    );
    expect(Date.parse(down.down_since ?? "")).toBeGreaterThanOrEqual(beganMs - 1);
    expect(down.quotas).toMatchObject([{ health: "down", down_since: down.down_since }]);
    await until(
      () => second.stats().answered,
      (answered) => answered > 50,
    );
    expect(await toldOf("down-second")).toMatchObject({ health: "up", down_since: null });

    const back = await startSimulator(STEADY, { port: first.port });
    simulators.set("down-first", back);
    const batch = await ended(id);
    expect(batch.request_counts).toEqual({ total: tasks, completed: tasks, failed: 0 });
    const answered = [back.stats().answered, second.stats().answered];
    expect(answered[0]).toBeGreaterThan(50);
    expect(await toldOf("down-first")).toMatchObject({ health: "up", down_since: null });
    // Each task was answered once, by one of them.
    expect((answered[0] ?? 0) + (answered[1] ?? 0)).toBe(tasks);

    const all = await muster.get(`/batches/${id}/tasks/task-0`);
    const { attempts } = (await all.json()) as TaskObject;
    expect(attempts[0]).toMatchObject({ upstream: "down-first", result: "retry" });
    expect(attempts.at(-1)).toMatchObject({ result: "succeeded" });
    console.log(`down: ${answered[1]} answered by the second, then ${answered[0]} by the first`);
  });
});

describe("a batch whose first upstream answers 429 and wants half a minute of rest", () => {
  it("goes on at the second at once", async () => {
    const first = simulatorOf("busy-first");
    first.configure({
      ...STEADY,
      faults: [{ kind: "status", code: 429, attempts: "always", retryAfterMs: 30_000 }],
    });
    const beganMs = Date.now();
    const tasks = 200;
    const batch = await ended(await open("busy", tasks));
    const tookMs = Date.now() - beganMs;
    expect(batch.request_counts).toEqual({ total: tasks, completed: tasks, failed: 0 });
    expect(simulatorOf("busy-second").stats().answered).toBe(tasks);
    // Those that were in flight when the first 429 came, and none after them.
    expect(first.stats().calls).toBeLessThanOrEqual(CALLS);
    // It still rests: nobody waited for it.
    expect((await toldOf("busy-first")).quotas).toMatchObject([{ health: "cooldown" }]);
    console.log(`busy: ${tasks} tasks in ${tookMs} ms, ${first.stats().calls} calls of the first`);
  });
});

describe("a batch that is a pool", () => {
  it("uses both upstreams at once, each up to its limit", async () => {
    const tasks = 120;
    const latencyMs = 500;
    const names = ["pool-first", "pool-second"];
    for (const name of names) {
      simulatorOf(name).configure({ ...STEADY, latency: { kind: "fixed", ms: latencyMs } });
    }
    const id = await open("pool", tasks, { pool: true });
    const batch = await ended(id);
    expect(batch.request_counts).toEqual({ total: tasks, completed: tasks, failed: 0 });
    const stats = names.map((name) => simulatorOf(name).stats());
    for (const { byStatus, mostInFlight, answered } of stats) {
      expect(byStatus).toEqual({ 200: answered });
      expect(mostInFlight).toBe(CALLS);
      expect(answered).toBeGreaterThan(tasks / 4);
    }
    const begins = stats.map(({ firstCallAt }) => firstCallAt ?? Number.NaN);
    const ends = stats.map(({ lastAnswerAt }) => lastAnswerAt ?? Number.NaN);
    expect(Math.max(...begins)).toBeLessThan(Math.min(...ends));
    const [began, over] = [Math.min(...begins), Math.max(...ends)];
    const aloneMs = (tasks / CALLS) * latencyMs;
    const parts = stats.map(({ answered }) => answered).join(" and ");
    console.log(`pool: ${parts} answered in ${over - began} ms; one alone needs ${aloneMs} ms`);
  });
});

describe("a single call whose first upstream is down", () => {
  it("goes to the second once that is known", async () => {
    await simulatorOf("single-first").close();
    const call = async () =>
      (
        await muster.post("/chat/completions", {
          model: "single",
          messages: [{ role: "user", content: "hello" }],
        })
      ).status;
    const before: number[] = [];
    while (before.length < 20 && !before.includes(200)) before.push(await call());
    // Nothing is called twice for a single call, so the first ones tell their clients.
    expect(before).toEqual([502, 502, 502, 502, 502, 200]);
    for (let again = 0; again < 5; again += 1) expect(await call()).toBe(200);
    expect(simulatorOf("single-second").stats().answered).toBe(6);
  });
});
