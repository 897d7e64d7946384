import { once } from "node:events";
import { accessSync, constants, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { delimiter, join } from "node:path";
import { Failure, fail } from "../../src/cli/failure.ts";
import { onStopSignal } from "../../src/cli/signals.ts";
import { readWish, type Wish } from "./arguments.ts";
import { muster } from "./muster.ts";
import { peer } from "./peer.ts";
import { showRun } from "./progress.ts";
import { describe } from "./report.ts";
import { type Measure, measure } from "./run.ts";
import { type SimulatorProcess, startSimulatorProcess } from "./simulator.ts";
import type { Subject } from "./subject.ts";

const peers: readonly Subject[] = [
  peer("p-queue", "sdk-p-queue.ts"),
  peer("bottleneck", "sdk-bottleneck.ts"),
  peer("bullmq", "bullmq.ts"),
];

/** `npm run bench`: each workload with Muster and its peers, and one table of it all. */
async function main(): Promise<void> {
  const names = peers.map(({ name }) => name);
  const wish = readWish(process.argv.slice(2), names);
  const subjects = [muster, ...peers.filter(({ name }) => wish.peers.includes(name))].filter(
    ({ name }) => name !== "bullmq" || hasRedis(),
  );
  const stopping = onStopSignal();
  const stopped = once(stopping, "abort").then(() => Promise.reject(new Failure("Stopped.")));
  const simulator = await startSimulatorProcess();
  const measures: Measure[] = [];
  try {
    await Promise.race([runAll(wish, subjects, simulator, measures), stopped]);
    await simulator.stop();
  } finally {
    // What was measured before a failure is worth its time too.
    if (measures.length > 0) print(wish, measures);
  }
}

async function runAll(
  wish: Wish,
  subjects: readonly Subject[],
  simulator: SimulatorProcess,
  measures: Measure[],
): Promise<void> {
  const { workloads, runs, seed } = wish;
  const width = Math.max(...workloads.map(({ name }) => name.length));
  const who = Math.max(...subjects.map(({ name }) => name.length));
  for (const workload of workloads) {
    for (let run = 1; run <= runs; run += 1) {
      for (const subject of subjects) {
        const title = `${workload.name.padEnd(width)}  ${subject.name.padEnd(who)}`;
        const progress = showRun(title, process.stderr);
        try {
          const one = await measure(workload, subject, simulator, seed, progress.update);
          measures.push(one);
          progress.stop(`${(one.makespanMs / 1000).toFixed(2)} s`);
        } catch (error) {
          progress.stop("failed");
          throw new Failure(`${workload.name} with ${subject.name}: ${String(error)}`);
        }
      }
    }
  }
}

function print(wish: Wish, measures: readonly Measure[]): void {
  const { seed, runs, json } = wish;
  console.log(`\n${describe(measures)}\n`);
  console.log(`Seed ${seed}, ${runs === 1 ? "one run" : `medians of ${runs} runs`} of each.`);
  if (json === undefined) return;
  const machine = { node: process.version, cpus: cpus().length, cpu: cpus()[0]?.model };
  const at = new Date().toISOString();
  writeFileSync(json, `${JSON.stringify({ at, machine, seed, runs, measures }, null, 2)}\n`);
}

function hasRedis(): boolean {
  const found = (process.env.PATH ?? "").split(delimiter).some((dir) => {
    try {
      accessSync(join(dir, "redis-server"), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (!found) console.error("bullmq is left out: redis-server is not installed.");
  return found;
}

main().catch((error: unknown) => {
  fail(error);
  // Whatever still runs ends with this process.
  process.exit();
});
