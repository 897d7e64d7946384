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
  /** The submission whose makespan counts. */
  main: Part;
  /** All of them. */
  parts: Part[];
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
      const main = await send(sent[0]);
      return { main, parts: [main] };
    }
    case "beside": {
      const alone = await send(sent[0]);
      const before = (await simulator.stats()).answered;
      const running = send(sent[1]);
      const enough = before + (sent[1]?.prompts.length ?? 0) * BIG_DONE;
      while ((await simulator.stats()).answered < enough) await wait(LOOK_EVERY_MS);
      const beside = await send(sent[2]);
      const main = await running;
      return {
        main,
        parts: [alone, main, beside],
        aloneMs: alone.submitted.tookMs,
        besideMs: beside.submitted.tookMs,
      };
    }
    case "first": {
      const parts: Part[] = [];
      for (const input of sent) parts.push(await send(input, true));
      const firstOf = ({ submitted }: Part) => submitted.firstMs ?? Number.NaN;
      const [main] = parts.toSorted((a, b) => firstOf(a) - firstOf(b)).slice(parts.length >> 1);
      if (main === undefined) throw new Error("nothing was sent");
      return { main, parts, firstMs: firstOf(main) };
    }
  }
}
