import { expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";

/**
 * `kill -9` to the whole process tree while batches are opened and files uploaded with an
 * Idempotency-Key, at moments from before the first byte is read to after the answer. Sent again,
 * all of them are there, and each once.
 */

const ROUNDS = Number(process.env.MUSTER_CREATION_KILLS ?? 8);
const AT_ONCE = 6;
const TASKS = 400;

function send(muster: Running, key: string): Promise<Response> {
  const prompts = Array.from({ length: TASKS }, (_, index) => `${key} ${index} ${"x".repeat(500)}`);
  return fetch(`${muster.url}/batches`, {
    method: "POST",
    headers: { authorization: `Bearer ${muster.apiKey}`, "idempotency-key": key },
    body: JSON.stringify({ model: "m", prompts, metadata: { key } }),
  });
}

/** Uploads a file; each try's form has a boundary of its own. */
function upload(muster: Running, key: string): Promise<Response> {
  const form = new FormData();
  form.set("purpose", "batch");
  form.set("file", new File([`{"key":"${key}"}\n`.repeat(20_000)], `${key}.jsonl`));
  return fetch(`${muster.url}/files`, {
    method: "POST",
    headers: { authorization: `Bearer ${muster.apiKey}`, "idempotency-key": key },
    body: form,
  });
}

/** What a request was answered, or undefined when its connection broke. */
async function answered(request: Promise<Response>): Promise<string | undefined> {
  try {
    const response = await request;
    const text = await response.text();
    expect({ ok: response.ok, text }).toMatchObject({ ok: true });
    return text;
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** Every batch there is, the pages put together. */
async function list(muster: Running): Promise<BatchObject[]> {
  const all: BatchObject[] = [];
  for (let after = ""; ; ) {
    const response = await muster.get(`/batches?limit=100${after && `&after=${after}`}`);
    const page = (await response.json()) as {
      data: BatchObject[];
      last_id: string;
      has_more: boolean;
    };
    all.push(...page.data);
    if (!page.has_more) return all;
    after = page.last_id;
  }
}

it(`opens each batch once, through ${ROUNDS} kills while they are opened`, async () => {
  const muster = await startTestMuster();
  try {
    // How long opening them takes here and now.
    const startedMs = performance.now();
    const warm = Array.from({ length: AT_ONCE }, (_, index) => `warm-${index}`);
    await Promise.all(warm.map((key) => answered(send(muster, key))));
    const usualMs = performance.now() - startedMs;

    let broken = 0;
    let openButUnanswered = 0;
    const answers = new Map<string, string>();
    for (let round = 0; round < ROUNDS; round += 1) {
      const keys = Array.from({ length: AT_ONCE }, (_, index) => `creation-${round}-${index}`);
      const file = `file-${round}`;
      const requests = keys.map((key) => answered(send(muster, key)));
      const uploading = answered(upload(muster, file));
      const startMs = performance.now();
      await until(
        () => performance.now() - startMs,
        (ms) => ms >= (usualMs * 1.5 * (round + 1)) / ROUNDS,
      );
      await muster.kill();
      const first = await Promise.all(requests);
      const uploaded = await uploading;
      await muster.restart();
      const open = new Set((await list(muster)).map(({ metadata }) => metadata?.key));
      for (const [index, key] of keys.entries()) {
        if (first[index] === undefined) broken += 1;
        if (first[index] === undefined && open.has(key)) openButUnanswered += 1;
        const again = await answered(send(muster, key));
        if (again === undefined) throw new Error("a request to a Muster that runs broke off");
        // What was answered before the kill is answered again, byte for byte.
        expect(again).toBe(first[index] ?? again);
        answers.set(key, again);
      }
      const again = await answered(upload(muster, file));
      expect(again).toBe(uploaded ?? again);
    }
    const all = await list(muster);
    const batches = all.filter(({ metadata }) => metadata?.key?.startsWith("creation-"));
    const byKey = batches.map(({ metadata }) => metadata?.key ?? "").toSorted();
    expect(byKey).toEqual([...answers.keys()].toSorted());
    for (const { id, metadata, request_counts } of batches) {
      expect(answers.get(metadata?.key ?? "")).toContain(id);
      expect(request_counts.total).toBe(TASKS);
    }
    const files = (await (await muster.get("/files?purpose=batch")).json()) as {
      data: { filename: string }[];
    };
    const names = files.data.map(({ filename }) => filename).toSorted();
    expect(names).toEqual(Array.from({ length: ROUNDS }, (_, index) => `file-${index}.jsonl`));
    console.log(
      `${ROUNDS} kills, ${answers.size} creations, ${broken} without an answer, ${openButUnanswered} of them open all the same`,
    );
    expect(broken).toBeGreaterThan(0);
  } finally {
    await muster.stop();
  }
}, 300_000);
