import type { SimulatorSettings } from "../../src/simulator/index.ts";

/** One kind of work that Muster and its peers are given. */
export interface Workload {
  name: string;
  /** What it is for, in one line. */
  about: string;
  tasks: number;
  /** Calls that may be in flight. */
  lanes: number;
  latency: NonNullable<SimulatorSettings["latency"]>;
  /** What the simulator holds everybody to. */
  limits?: NonNullable<SimulatorSettings["limits"]>;
  /** Whether those who call are told the limits. */
  told: boolean;
  faults?: NonNullable<SimulatorSettings["faults"]>;
  /** After this long a call without an answer is given up. */
  timeoutMs: number;
  /** How Muster gets its tasks: in the request, or as an uploaded file. */
  input: "inline" | "file";
  /**
   * How they are sent: as one batch; as ten equal ones at once; a small batch alone and again beside
   * a big one; or one batch after the other, looking at the first result of each.
   */
  shape: "whole" | "together" | "beside" | "first";
  /** Only run when it is asked for by name. */
  byNameOnly?: boolean;
}

const common = { told: true, timeoutMs: 30_000, input: "inline", shape: "whole" } as const;
const ordinary = { kind: "lognormal", medianMs: 200, sigma: 0.5 } as const;

const growth = (name: string, tasks: number): Workload => ({
  ...common,
  name,
  about: `${tasks.toLocaleString("en")} calls of 20 ms from a file, 100 lanes: do CPU and memory grow?`,
  tasks,
  lanes: 100,
  latency: { kind: "fixed", ms: 20 },
  input: "file",
});

/** All of them, in the order they are run and printed. */
export const workloads: readonly Workload[] = [
  {
    ...common,
    name: "prompts-10",
    about: "100 prompts, 10 lanes",
    tasks: 100,
    lanes: 10,
    latency: ordinary,
  },
  {
    ...common,
    name: "prompts-50",
    about: "100 prompts, 50 lanes",
    tasks: 100,
    lanes: 50,
    latency: ordinary,
  },
  {
    ...common,
    name: "first-result",
    about: "the first result of 20 prompts of 200 ms, after they were sent",
    tasks: 20,
    lanes: 50,
    latency: { kind: "fixed", ms: 200 },
    shape: "first",
  },
  {
    ...common,
    name: "rate-limited",
    about: "2,000 calls against 100 requests a second, burst 10",
    tasks: 2_000,
    lanes: 50,
    latency: ordinary,
    limits: { rpm: 6_000, burst: 10 },
  },
  {
    ...common,
    name: "shared-rate",
    about: "the same as 10 batches of 200 at once: does each get its share, and none goes unused?",
    tasks: 2_000,
    lanes: 50,
    latency: ordinary,
    limits: { rpm: 6_000, burst: 10 },
    shape: "together",
  },
  {
    ...common,
    name: "token-limited",
    about: "2,000 calls against 10,000 tokens a second, burst 100,000",
    tasks: 2_000,
    lanes: 50,
    latency: ordinary,
    limits: { tpm: 600_000, tokenBurst: 100_000 },
  },
  {
    ...common,
    name: "long-tail",
    about: "1,000 calls, lognormal with sigma 1.2, 50 lanes",
    tasks: 1_000,
    lanes: 50,
    latency: { kind: "lognormal", medianMs: 200, sigma: 1.2, maxMs: 20_000 },
  },
  {
    ...common,
    name: "faults",
    about:
      "2,000 calls; of first attempts 5 % 500, 2 % 429, 1 % reset, 0.5 % hang, 0.5 % truncated",
    tasks: 2_000,
    lanes: 50,
    latency: ordinary,
    timeoutMs: 2_000,
    faults: [
      { kind: "status", code: 500, rate: 0.05 },
      { kind: "status", code: 429, rate: 0.02 },
      { kind: "reset", rate: 0.01 },
      { kind: "hang", rate: 0.005 },
      { kind: "truncated", rate: 0.005 },
    ],
  },
  {
    ...common,
    name: "overhead",
    about: "10,000 calls of 20 ms, 100 lanes: what is left is overhead",
    tasks: 10_000,
    lanes: 100,
    latency: { kind: "fixed", ms: 20 },
  },
  growth("growth-1k", 1_000),
  growth("growth-10k", 10_000),
  { ...growth("growth-100k", 100_000), byNameOnly: true },
  {
    ...common,
    name: "two-batches",
    about: "10 calls sent while 5,000 run, against the 10 alone; 50 lanes",
    tasks: 5_000,
    lanes: 50,
    latency: { kind: "lognormal", medianMs: 100, sigma: 0.5 },
    shape: "beside",
  },
  {
    ...common,
    name: "unknown-limits",
    about: "3,000 calls against 100 requests a second, burst 10, that nobody is told of",
    tasks: 3_000,
    lanes: 50,
    latency: { kind: "fixed", ms: 100 },
    limits: { rpm: 6_000, burst: 10 },
    told: false,
  },
  {
    ...common,
    name: "silent-limits",
    about: "the same, where no header tells of them either: only 429s",
    tasks: 3_000,
    lanes: 50,
    latency: { kind: "fixed", ms: 100 },
    limits: { rpm: 6_000, burst: 10, silent: true },
    told: false,
  },
];

/** What the simulator is set to for a workload. */
export function simulatorSettings(workload: Workload, seed: number): SimulatorSettings {
  const { latency, limits = {}, faults = [] } = workload;
  return { seed, latency, limits, faults };
}
