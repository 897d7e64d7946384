import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Simulator, type SimulatorSettings, startSimulator } from "../simulator/index.ts";
import type { BatchObject } from "../wire/batch.ts";
import { checkAnswers } from "./check-answers.ts";
import { type Client, createClient } from "./client.ts";
import { Failure, fail } from "./failure.ts";
import { doneOf, showProgress } from "./progress.ts";
import { questions } from "./questions.ts";
import { type Muster, startMuster } from "./serve.ts";
import { LOCAL_API_KEYS } from "./settings.ts";
import { onStopSignal } from "./signals.ts";
import { describeEnding } from "./summary.ts";

const DEFAULT_COUNT = 300;
const MAX_COUNT = 20_000;
const POLL_MS = 100;
const STALLED_MS = 60_000;

/** A model that takes about half a second, and fails now and then when first asked. */
const upstream: SimulatorSettings = {
  latency: { kind: "lognormal", medianMs: 400, sigma: 0.5, maxMs: 3_000 },
  faults: [
    { kind: "status", code: 500, rate: 0.02, attempts: "first" },
    { kind: "status", code: 429, rate: 0.01, attempts: "first", retryAfterMs: 200 },
  ],
};

/** `npm run demo`: a real batch on this machine, from the first question to the last answer. */
async function main(): Promise<void> {
  const count = readCount();
  const stopping = onStopSignal();
  const stateDir = mkdtempSync(join(tmpdir(), "muster-demo-"));
  const simulator = await startSimulator(upstream);
  let muster: Muster | undefined;
  try {
    console.log(`Muster demo: ${count} questions, in English and Japanese.\n`);
    console.log("Starting Muster and a simulated AI API on this machine…");
    const vars = {
      MUSTER_API_KEYS: LOCAL_API_KEYS,
      UPSTREAM_BASE_URL: simulator.url,
      UPSTREAM_ALLOW_PRIVATE: "1",
      CONSUMER_LANES: "50",
      CONSUMER_SUBREQUESTS: "1000000000",
      CONSUMER_BACKGROUND: "1",
    };
    muster = await startMuster({ stateDir, vars, signal: stopping });
    await ask(muster, simulator, count, stopping);
  } finally {
    await muster?.stop();
    await simulator.close();
    rmSync(stateDir, { recursive: true, force: true });
  }
}

function readCount(): number {
  let text: string;
  try {
    const options = { count: { type: "string", default: String(DEFAULT_COUNT) } } as const;
    text = parseArgs({ options }).values.count;
  } catch (error) {
    throw new Failure(error instanceof Error ? error.message : String(error));
  }
  const count = /^[0-9]+$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= MAX_COUNT) return count;
  throw new Failure(`--count takes a whole number of questions, 1 to ${MAX_COUNT}.`);
}

async function ask(
  muster: Muster,
  simulator: Simulator,
  count: number,
  stopping: AbortSignal,
): Promise<void> {
  const gone = new AbortController();
  void muster.died.then((said) => gone.abort(new Failure(`Muster ended by itself:\n\n${said}`)));
  const signal = AbortSignal.any([stopping, gone.signal]);
  const client = createClient(muster.url, muster.apiKey, signal);
  const prompts = questions(count);
  const startedAt = performance.now();
  const { id } = await client.createBatch({ model: "gpt-4o-mini", prompts });
  console.log(`Sent as one request: ${id}\n`);
  const batch = await follow(client, id, count, signal);
  const wallMs = performance.now() - startedAt;
  const summary = await client.results(id);
  const { usage } = batch;
  console.log(`\n${describeEnding({ prompts, summary, usage, wallMs, seen: simulator.stats() })}`);
  const problems = checkAnswers(prompts, summary);
  if (batch.status !== "completed") problems.unshift(`The batch ended as ${batch.status}.`);
  if (problems.length > 0) {
    throw new Failure(["The results are not right:", ...problems.slice(0, 20)].join("\n"));
  }
  console.log(`All ${count} questions have their outcome, and every answer is its question's own.`);
  console.log("\nnpm start serves Muster on this machine; README.md has the first requests to it.");
}

/** Shows how far the batch is until it has ended. */
async function follow(
  client: Client,
  id: string,
  total: number,
  signal: AbortSignal,
): Promise<BatchObject> {
  const progress = showProgress(total, process.stdout);
  let movedAt = performance.now();
  let before = -1;
  try {
    for (;;) {
      const batch = await client.batch(id);
      progress.update(batch.muster.counts);
      if (!/^(validating|in_progress|finalizing|cancelling)$/.test(batch.status)) return batch;
      const done = doneOf(batch.muster.counts);
      if (done !== before) movedAt = performance.now();
      if (performance.now() - movedAt > STALLED_MS) {
        throw new Failure(`Nothing has moved for ${STALLED_MS / 1000} seconds: ${done}/${total}.`);
      }
      before = done;
      await wait(POLL_MS, undefined, { signal });
    }
  } finally {
    progress.stop();
  }
}

main().catch((error: unknown) => {
  // Ctrl-C: not a failure, but not a finished demo either.
  if (error instanceof Error && error.name === "AbortError" && !(error.cause instanceof Failure)) {
    process.exitCode = 130;
  } else {
    fail(error instanceof Error && error.cause instanceof Failure ? error.cause : error);
  }
});
