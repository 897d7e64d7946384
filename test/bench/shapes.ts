import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { makePrompts, writeRequests } from "./input.ts";
import type { SimulatorProcess } from "./simulator.ts";
import type { Input, Started, Submitted } from "./subject.ts";
import type { Workload } from "./workloads.ts";

/** A list of prompts that was sent, and what came of it. */
export interface Part {
  input: Input;
  submitted: Submitted;
}

/** How a workload went. */
export interface Course {
  /** What the makespan counts for. */
  main: { prompts: readonly string[]; tookMs: number };
  /** All of them. */
  parts: Part[];
  /** Shape `together`: until the first of the batches was done. */
  firstDoneMs?: number;
  /** Shape `first`: the first result, from the moment of sending. */
  firstMs?: number;
  /** Shape `beside`: the small batch alone, and beside the big one. */
  aloneMs?: number;
  besideMs?: number;
}

/** The prompts of a workload, as it sends them. */
export interface Inputs {
  /** For calls before the clock starts. */
  warmUp: Input;
  /** In the order they are sent. */
  sent: Input[];
  /** Of all of `sent`. */
  tasks: number;
}

/**
 * Calls that every subject makes before it is measured: none of them starts cold. Fewer where limits
 * are to be found: they must not show that more is fine.
 */
const WARM_UP = 20;
const WARM_UP_UNTOLD = 10;
/** Batches of shape `together`. */
const TOGETHER = 10;
/** The small batch of shape `beside`. */
const SMALL = 10;
/** The part of the big batch that is answered before the small one comes. */
const BIG_DONE = 0.2;
/** Batches of shape `first`; the median counts. */
const FIRSTS = 9;
const LOOK_EVERY_MS = 50;

/** Makes the prompts of a workload, each different from all others, with their files in `dir`. */
export function makeInputs({ shape, tasks, told }: Workload, dir: string): Inputs {
  const sizes = {
    whole: [tasks],
    together: Array.from({ length: TOGETHER }, () => tasks / TOGETHER),
    beside: [SMALL, tasks, SMALL],
    first: Array.from({ length: FIRSTS }, () => tasks),
  }[shape];
  const all = [told ? WARM_UP : WARM_UP_UNTOLD, ...sizes];
  const prompts = makePrompts(all.reduce((sum, size) => sum + size, 0));
  const [warmUp, ...sent] = all.map((size, index): Input => {
    const input = { prompts: prompts.splice(0, size), file: join(dir, `${index}.jsonl`) };
    writeRequests(input.file, input.prompts);
    return input;
  });
  if (warmUp === undefined) throw new Error("there is always a warm-up");
  return { warmUp, sent, tasks: sizes.reduce((sum, size) => sum + size, 0) };
}

/** Sends a workload's prompts as its shape says. */
export async function follow(
  shape: Workload["shape"],
  started: Started,
  sent: readonly Input[],
  simulator: SimulatorProcess,
): Promise<Course> {
  const send = async (input: Input | undefined, watchFirst = false): Promise<Part> => {
    if (input === undefined) throw new Error(`shape ${shape} lacks an input`);
    return { input, submitted: await started.submit({ ...input, watchFirst }) };
  };
  switch (shape) {
    case "whole": {
      const part = await send(sent[0]);
      return { main: mainOf([part]), parts: [part] };
    }
    case "together": {
      const parts = await Promise.all(sent.map((input) => send(input)));
      const firstDoneMs = Math.min(...parts.map(({ submitted }) => submitted.tookMs));
      return { main: mainOf(parts), parts, firstDoneMs };
    }
    case "beside": {
      const alone = await send(sent[0]);
      const before = (await simulator.stats()).answered;
      const running = send(sent[1]);
      const enough = before + (sent[1]?.prompts.length ?? 0) * BIG_DONE;
      while ((await simulator.stats()).answered < enough) await wait(LOOK_EVERY_MS);
      const beside = await send(sent[2]);
      const big = await running;
      return {
        main: mainOf([big]),
        parts: [alone, big, beside],
        aloneMs: alone.submitted.tookMs,
        besideMs: beside.submitted.tookMs,
      };
    }
    case "first": {
      const parts: Part[] = [];
      for (const input of sent) parts.push(await send(input, true));
      const firstOf = ({ submitted }: Part) => submitted.firstMs ?? Number.NaN;
      const [middle] = parts.toSorted((a, b) => firstOf(a) - firstOf(b)).slice(parts.length >> 1);
      if (middle === undefined) throw new Error("nothing was sent");
      return { main: mainOf([middle]), parts, firstMs: firstOf(middle) };
    }
  }
}

/** Parts that were sent at the same moment, as one. */
function mainOf(parts: readonly Part[]): Course["main"] {
  return {
    prompts: parts.flatMap(({ input }) => input.prompts),
    tookMs: Math.max(...parts.map(({ submitted }) => submitted.tookMs)),
  };
}
