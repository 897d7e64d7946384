import { once } from "node:events";
import { createWriteStream, openAsBlob } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import { expect, it } from "vitest";
import { promptDigest } from "../../src/simulator/index.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";
import { watchMemory } from "../support/workerd-memory.ts";

/**
 * A big batch from a file, as one user has it under `wrangler dev`: uploaded as a stream, killed
 * with `kill -9` in the middle of its validation, run, read while it runs, and read to its end.
 *
 *   MUSTER_SCALE_TASKS=100000 MUSTER_SCALE_MB=200 npm test -- --project e2e test/e2e/scale
 */

const TASKS = Number(process.env.MUSTER_SCALE_TASKS ?? 10_000);
const FILE_MB = Number(process.env.MUSTER_SCALE_MB ?? 20);
const CONCURRENCY = 100;
/**
 * MB of workerd beyond those it has when idle. Most of it is garbage that V8 has not collected: locally
 * nothing limits its heap. What counts is that it does not grow with the batch.
 */
const MOST_MB = 600;

const promptOf = (index: number) => `scale question ${index}`;

async function writeInput(path: string): Promise<void> {
  const file = createWriteStream(path);
  const padding = "x".repeat(Math.max(0, Math.floor((FILE_MB * 1e6) / TASKS) - 190));
  for (let index = 0; index < TASKS; index += 1) {
    const line = JSON.stringify({
      custom_id: `line-${index}`,
      method: "POST",
      url: "/v1/chat/completions",
      body: {
        model: "m",
        messages: [{ role: "user", content: promptOf(index) }],
        metadata: { padding },
      },
    });
    if (!file.write(`${line}\n`)) await once(file, "drain");
  }
  file.end();
  await finished(file);
}

async function send<T>(muster: Running, path: string, init: RequestInit = {}): Promise<T> {
  const headers = { authorization: `Bearer ${muster.apiKey}`, ...init.headers };
  const response = await fetch(`${muster.url}${path}`, { ...init, headers });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

const look = (muster: Running, id: string) => send<BatchObject>(muster, `/batches/${id}`);

/** Reads JSONL as it comes; holds no more than a line. */
async function readLines(
  muster: Running,
  path: string,
  each: (line: string) => void,
): Promise<{ lines: number; bytes: number; ms: number }> {
  const startMs = performance.now();
  const response = await fetch(`${muster.url}${path}`, {
    headers: { authorization: `Bearer ${muster.apiKey}`, accept: "application/jsonl" },
  });
  expect(response.status).toBe(200);
  let lines = 0;
  let bytes = 0;
  const body = Readable.fromWeb(response.body as ReadableStream<Uint8Array>);
  for await (const line of createInterface({ input: body, crlfDelay: Number.POSITIVE_INFINITY })) {
    each(line);
    lines += 1;
    bytes += line.length + 1;
  }
  return { lines, bytes, ms: performance.now() - startMs };
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
const rate = (bytes: number, ms: number) => `${(bytes / 1e3 / ms).toFixed(1)} MB/s`;

it(`${TASKS} tasks from a file of ${FILE_MB} MB end exactly once, killed while they are read`, async () => {
  const dir = await mkdtemp(join(tmpdir(), "muster-scale-"));
  const path = join(dir, "input.jsonl");
  await writeInput(path);
  const muster = await startTestMuster(
    { latency: { kind: "fixed", ms: 1 } },
    { UPSTREAM_MAX_CONCURRENCY: String(CONCURRENCY), CLAIM_TTL_MS: "3000" },
  );
  const memory = watchMemory(() => muster.pid);
  let idleMb = 0;
  const tell = (what: string) => {
    const mostMb = memory.peakMb();
    console.log(`${what}; workerd at most ${mostMb} MB (idle ${idleMb})`);
    expect(mostMb).toBeLessThan(idleMb + MOST_MB);
  };
  try {
    memory.peakMb();
    idleMb = memory.peakMb();
    let startMs = performance.now();
    const form = new FormData();
    form.set("purpose", "batch");
    form.set("file", await openAsBlob(path), "input.jsonl");
    const file = await send<{ id: string; bytes: number }>(muster, "/files", {
      method: "POST",
      body: form,
    });
    let ms = performance.now() - startMs;
    tell(`upload: ${seconds(ms)}, ${rate(file.bytes, ms)}`);

    startMs = performance.now();
    const asked = {
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    };
    const { id } = await send<BatchObject>(muster, "/batches", {
      method: "POST",
      body: JSON.stringify(asked),
    });
    const before = await until(
      () => look(muster, id),
      ({ muster: { audit }, status }) => audit.total > 0 || status !== "validating",
      300_000,
    );
    expect(before.status).toBe("validating");
    await muster.kill();
    tell(`killed at ${before.muster.audit.total} of ${TASKS} lines`);
    await muster.restart();
    const after = await look(muster, id);
    // What was committed is there, and reading goes on behind it.
    expect(after.muster.audit.total).toBeGreaterThanOrEqual(before.muster.audit.total);
    await until(
      () => look(muster, id),
      ({ status }) => status !== "validating",
      600_000,
    );
    ms = performance.now() - startMs;
    tell(`validated: ${seconds(ms)} with the kill and the restart`);

    startMs = performance.now();
    const runMs = startMs;
    const answered = muster.simulator.stats().answered;
    // Read while it runs, from the first result on: what is there, in order, each line whole.
    await until(
      () => look(muster, id),
      ({ request_counts }) => request_counts.completed > TASKS / 10,
      600_000,
    );
    let last = -1;
    const early = await readLines(muster, `/batches/${id}/results`, (line) => {
      const { custom_id } = JSON.parse(line) as { custom_id: string };
      const index = Number(custom_id.slice("line-".length));
      expect(index).toBeGreaterThan(last);
      last = index;
    });
    tell(`read while it runs: ${early.lines} lines, ${rate(early.bytes, early.ms)}`);
    const end = await until(
      () => look(muster, id),
      ({ status }) => status === "completed",
      1_800_000,
    );
    ms = performance.now() - runMs;
    tell(
      `run: ${seconds(ms)}, ${Math.round(((muster.simulator.stats().answered - answered) / ms) * 1000)} calls/s`,
    );
    expect(end.request_counts).toEqual({ total: TASKS, completed: TASKS, failed: 0 });

    let next = 0;
    const whole = await readLines(muster, `/files/${end.output_file_id}/content`, (line) => {
      const body = { messages: [{ role: "user", content: promptOf(next) }] };
      expect(line).toContain(`"custom_id":"line-${next}"`);
      expect(line).toContain(`digest:${promptDigest("/v1/chat/completions", body)}`);
      next += 1;
    });
    expect(next).toBe(TASKS);
    tell(
      `download: ${whole.lines} lines, ${(whole.bytes / 1e6).toFixed(1)} MB, ${rate(whole.bytes, whole.ms)}`,
    );
    const { calls, answeredPrompts } = muster.simulator.stats();
    expect(answeredPrompts).toBe(TASKS);
    tell(`calls: ${calls} for ${TASKS} tasks`);
  } finally {
    memory.stop();
    await muster.stop();
    await rm(dir, { recursive: true, force: true });
  }
}, 3_600_000);
