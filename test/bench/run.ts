import { rmSync } from "node:fs";
import type { Timeline } from "../../src/simulator/index.ts";
import { checkAnswers } from "./check.ts";
import { drawTasks } from "./drawn.ts";
import { boundMs, idealQueueMs } from "./ideal.ts";
import { watchTree } from "./meter.ts";
import { scratchDir } from "./scratch.ts";
import { follow, makeInputs, type Part } from "./shapes.ts";
import { shareFound } from "./share-found.ts";
import type { SimulatorProcess } from "./simulator.ts";
import type { Subject } from "./subject.ts";
import { simulatorSettings, type Workload } from "./workloads.ts";

/** What one subject did on one workload. Times are milliseconds; null is not told. */
export interface Measure {
  workload: string;
  subject: string;
  seed: number;
  tasks: number;
  makespanMs: number;
  boundMs: number;
  idealMs: number;
  calls: number;
  /** 429s that the simulator answered: those of its limits, and those of its faults. */
  throttled: number;
  /** Prompts without an answer. */
  lost: number;
  /** Answers that are another prompt's, or second ones. */
  wrong: number;
  /** Calls of prompts that had been answered already. */
  duplicates: number;
  callsPerSecond: number;
  /** User and system time of the whole process tree. */
  cpuMsPerTask: number;
  /** Memory of the whole process tree: at the start, and the most that was seen. */
  startBytes: number;
  peakBytes: number;
  rpcsPerTask: number | null;
  /** Shape `together`: until the first of the batches was done. */
  firstDoneMs: number | null;
  /** Shape `first`: until the first result could be had, beyond its call's own latency. */
  firstMs: number | null;
  /** Untold limits: the part of the rate that was used from 10 s after the first 429 on. */
  foundShare: number | null;
  /** Shape `beside`: the small batch alone, and beside the big one. */
  aloneMs: number | null;
  besideMs: number | null;
}

const TELL_EVERY_MS = 500;

/** Runs one workload with one subject. `tell` hears now and then how many answers there are. */
export async function measure(
  workload: Workload,
  subject: Subject,
  simulator: SimulatorProcess,
  seed: number,
  tell: (answered: number, tasks: number) => void,
): Promise<Measure> {
  const dir = scratchDir();
  const { warmUp, sent, tasks } = makeInputs(workload, dir);
  // Warmed up without limits, so that the first measured call finds full buckets.
  await simulator.prepare({ seed });
  const started = await subject.start({ workload, upstreamUrl: simulator.url, inputs: sent });
  try {
    await started.submit(warmUp);
    const rpcsBefore = await started.rpcs?.();
    await simulator.prepare(simulatorSettings(workload, seed));
    const telling = setInterval(async () => {
      const seen = await simulator.stats().catch(() => undefined);
      if (seen !== undefined) tell(seen.answeredPrompts, tasks);
    }, TELL_EVERY_MS);
    const watch = watchTree(started.pid);
    const course = await follow(workload.shape, started, sent, simulator).finally(() => {
      clearInterval(telling);
    });
    const { cpuMs, startBytes, peakBytes } = watch.stop();
    const seen = await simulator.stats();
    const checked = await checkParts(course.parts);
    const rpcs = await started.rpcs?.();
    const { prompts, tookMs: makespanMs } = course.main;
    const drawn = drawTasks(workload, seed, prompts);
    const ceilings = { lanes: workload.lanes, ...workload.limits };
    const first = drawn[0]?.latencyMs ?? 0;
    return {
      workload: workload.name,
      subject: subject.name,
      seed,
      tasks,
      makespanMs,
      boundMs: boundMs(drawn, ceilings),
      idealMs: idealQueueMs(drawn, ceilings),
      calls: seen.calls,
      throttled: seen.byStatus["429"] ?? 0,
      ...checked,
      duplicates: seen.duplicates,
      callsPerSecond: (prompts.length * 1000) / makespanMs,
      cpuMsPerTask: cpuMs / tasks,
      startBytes,
      peakBytes,
      rpcsPerTask: rpcs === undefined ? null : (rpcs - (rpcsBefore ?? 0)) / tasks,
      firstDoneMs: course.firstDoneMs ?? null,
      firstMs: course.firstMs === undefined ? null : course.firstMs - first,
      foundShare: foundShareOf(workload, await simulator.timeline()),
      aloneMs: course.aloneMs ?? null,
      besideMs: course.besideMs ?? null,
    };
  } finally {
    await started.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A limit that nobody was told of is found by its first 429, or its headers on the first answer. */
function foundShareOf({ told, limits }: Workload, timeline: Timeline): number | null {
  if (told || limits?.rpm === undefined) return null;
  return shareFound(timeline, limits.rpm / 60);
}

async function checkParts(parts: readonly Part[]): Promise<{ lost: number; wrong: number }> {
  const sum = { lost: 0, wrong: 0 };
  for (const { input, submitted } of parts) {
    const { lost, wrong } = checkAnswers(input.prompts, await submitted.answers());
    sum.lost += lost;
    sum.wrong += wrong;
  }
  return sum;
}
