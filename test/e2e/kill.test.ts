import { expect, it } from "vitest";
import { promptDigest } from "../../src/simulator/index.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";

/**
 * `kill -9` to the whole process tree under `wrangler dev`, at random moments, until the batch is
 * done. The queue is memory and dies each time; what is in SQLite must be enough.
 */

const KILLS = Number(process.env.MUSTER_KILLS ?? 20);
const SEED = Number(process.env.MUSTER_KILL_SEED ?? 1);
const TASKS = KILLS * 200;
const CONCURRENCY = 50;

/** A small seeded generator (mulberry32), so that a run can be had again. */
function chanceOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

async function readLines(muster: Running, id: string): Promise<Map<string, string>> {
  const response = await muster.get(`/batches/${id}/results`, { accept: "application/jsonl" });
  expect(response.status).toBe(200);
  const lines = (await response.text()).split("\n").filter((line) => line !== "");
  return new Map(
    lines.map((line) => [(JSON.parse(line) as { custom_id: string }).custom_id, line]),
  );
}

async function look(muster: Running, id: string): Promise<BatchObject> {
  return (await (await muster.get(`/batches/${id}`)).json()) as BatchObject;
}

it(`loses nothing in ${KILLS} kills, and changes no result that was read`, async () => {
  const chance = chanceOf(SEED);
  const muster = await startTestMuster(
    {
      latency: { kind: "lognormal", medianMs: 120, sigma: 0.5, maxMs: 1_000 },
      faults: [{ kind: "status", code: 500, rate: 0.03, attempts: "first" }],
    },
    { UPSTREAM_MAX_CONCURRENCY: String(CONCURRENCY), CLAIM_TTL_MS: "1500" },
  );
  try {
    const prompts = Array.from({ length: TASKS }, (_, index) => `kill ${SEED} question ${index}`);
    const opened = await muster.post("/batches", { model: "m", prompts });
    expect(opened.status).toBe(202);
    const { id } = (await opened.json()) as BatchObject;

    let kills = 0;
    let inFlightAtKills = 0;
    const read = new Map<string, string>();
    while (kills < KILLS) {
      const before = await look(muster, id);
      if (before.status === "completed") break;
      // A moment at random: after some more answers than there are, or at once.
      const target = muster.simulator.stats().answered + Math.floor(chance() * 150);
      await until(
        () => muster.simulator.stats().answered,
        (answered) => answered >= target,
      );
      for (const [task, line] of await readLines(muster, id)) {
        expect(read.get(task) ?? line).toBe(line);
        read.set(task, line);
      }
      inFlightAtKills += muster.simulator.stats().inFlight;
      await muster.kill();
      kills += 1;
      await muster.restart();
    }
    const end = await until(
      () => look(muster, id),
      ({ status }) => status === "completed",
      120_000,
    );

    expect(end.request_counts).toEqual({ total: TASKS, completed: TASKS, failed: 0 });
    const lines = await readLines(muster, id);
    expect(lines.size).toBe(TASKS);
    for (const [task, line] of read) expect(lines.get(task)).toBe(line);
    for (const [task, line] of lines) {
      const prompt = prompts[Number(task.slice("task-".length))] ?? "";
      const body = { messages: [{ role: "user", content: prompt }] };
      expect(line).toContain(`digest:${promptDigest("/v1/chat/completions", body)}`);
    }
    const { answered, answeredPrompts, calls } = muster.simulator.stats();
    const paidTwice = answered - answeredPrompts;
    console.log(
      `${kills} kills, ${TASKS} tasks, ${calls} calls, ${paidTwice} answered twice, ${inFlightAtKills} in flight at the kills, ${read.size} results read before the end`,
    );
    expect(kills).toBe(KILLS);
    expect(paidTwice).toBeLessThanOrEqual(kills * CONCURRENCY);
  } finally {
    await muster.stop();
  }
}, 600_000);
