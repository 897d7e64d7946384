import type { Workload } from "./workloads.ts";

/** What a subject is started for. */
export interface Course {
  workload: Workload;
  /** Base URL of the upstream, with /v1. */
  upstreamUrl: string;
  /** What will be sent. */
  inputs: readonly Input[];
}

/** Whoever makes the calls: Muster, or a peer. */
export interface Subject {
  name: string;
  start(course: Course): Promise<Started>;
}

/** One that is up and waits for work. */
export interface Started {
  /** The root of its process tree. */
  pid: number;
  /** Has it call all prompts; resolves when it says that all are done. */
  submit(input: Input): Promise<Submitted>;
  /**
   * Calls between its own objects so far (exchanges with a Batch, asks of a Limiter), as it counts
   * them itself. Only Muster has such.
   */
  rpcs?(): Promise<number>;
  /** Leaves no process of it. */
  stop(): Promise<void>;
}

/** A list of prompts, in memory and as a file of requests, whichever the subject takes. */
export interface Input {
  prompts: readonly string[];
  file: string;
  /** Look out for the first result. */
  watchFirst?: boolean;
}

/** What came of a submission. */
export interface Submitted {
  /** From the moment of sending until the subject said that it was done. */
  tookMs: number;
  /** From the same moment until the first answer could be had; only when it was looked for. */
  firstMs?: number | undefined;
  /** Every answer there is, read after the clock was stopped. */
  answers(): Promise<Answer[]>;
}

/** The answer to the prompt at an index; its text, or undefined when it failed. */
export interface Answer {
  index: number;
  text: string | undefined;
}
