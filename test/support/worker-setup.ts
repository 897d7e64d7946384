import type { TestProject } from "vitest/node";
import { type SimulatorSettings, startSimulator } from "../../src/simulator/index.ts";
import { faultCodes } from "../../src/simulator/settings.ts";
import type {} from "./provided.ts";
import { startReceiver } from "./receiver.ts";

type Fault = NonNullable<SimulatorSettings["faults"]>[number];

/**
 * Every status of the simulator: `[503]` and `[503 always]` at each call, `[503 first]` at the
 * prompt's first one, `[503 run]` at its first four, which are all the attempts of one run.
 */
const statuses: Fault[] = faultCodes.flatMap((code): Fault[] => {
  const fault = { kind: "status" as const, code, ...(code === 429 ? { retryAfterMs: 50 } : {}) };
  return [
    { ...fault, match: `[${code}]`, attempts: "always" },
    { ...fault, match: `[${code} always]`, attempts: "always" },
    { ...fault, match: `[${code} first]`, attempts: "first" },
    { ...fault, match: `[${code} run]`, attempts: 4 },
  ];
});

/** A 503 at the first call with a header of its own. */
const told = (match: string, headers: Record<string, string>): Fault => {
  return { kind: "status", code: 503, match, attempts: "first", headers };
};

/**
 * Starts what the worker tests talk to over real HTTP: the simulator as upstream, and a webhook
 * receiver. A prompt chooses its fault by a marker in it, so that tests do not share settings.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const receiver = await startReceiver();
  const settings = {
    latency: { kind: "fixed", ms: 5 },
    faults: [
      ...statuses,
      { kind: "status", code: 401, match: "[bad key]", attempts: "always" },
      { kind: "status", code: 429, match: "[429 six]", attempts: 6, retryAfterMs: 20 },
      { kind: "status", code: 503, match: "[503 do not]", attempts: "always", shouldRetry: false },
      { kind: "status", code: 429, match: "[429 do not]", attempts: "always", shouldRetry: false },
      { kind: "status", code: 400, match: "[400 do]", attempts: "first", shouldRetry: true },
      told("[after an hour]", { "retry-after": "3600" }),
      told("[after a fraction]", { "retry-after": "0.3" }),
      told("[after ms]", { "retry-after-ms": "300", "retry-after": "3600" }),
      told("[after a date]", { "retry-after": new Date(Date.now() + 3_600_000).toUTCString() }),
      told("[after the past]", { "retry-after": "Sun, 06 Nov 1994 08:49:37 GMT" }),
      told("[after ages]", { "retry-after": "99999999999" }),
      { kind: "insufficient_quota", match: "[no money]", attempts: "always" },
      { kind: "reset", match: "[reset first]", attempts: "first" },
      { kind: "reset", match: "[reset]", attempts: "always" },
      { kind: "hang", match: "[hang first]", attempts: "first" },
      { kind: "hang_body", match: "[hang body first]", attempts: "first" },
      { kind: "stream_error", match: "[stream 502]", attempts: "always", code: 502 },
      { kind: "stream_error", match: "[stream 429]", attempts: "always", code: "429" },
      { kind: "stream_error", match: "[stream 400]", attempts: "always", code: 400 },
      {
        kind: "stream_error",
        match: "[stream no money]",
        attempts: "always",
        code: "insufficient_quota",
      },
      { kind: "stream_error", match: "[stream error]", attempts: "always" },
      { kind: "stream_error", match: "[stream 529]", attempts: "always", code: 529 },
      { kind: "hang_body", match: "[hang body always]", attempts: "always" },
      { kind: "truncated", match: "[cut always]", attempts: "always", chunked: true },
      { kind: "hang", match: "[hang always]", attempts: "always" },
      { kind: "truncated", match: "[truncated first]", attempts: "first" },
      { kind: "truncated", match: "[truncated]", attempts: "always" },
      { kind: "truncated", match: "[cut first]", attempts: "first", chunked: true },
      { kind: "not_json", match: "[not json first]", attempts: "first" },
      { kind: "not_json", match: "[not json]", attempts: "always" },
      { kind: "redirect", match: "[redirect]", attempts: "always" },
      {
        kind: "redirect",
        match: "[redirect away]",
        attempts: "always",
        to: `${receiver.url}/ok/another-host`,
      },
      { kind: "huge", match: "[most]", attempts: "always", bytes: 1_900_000 },
      { kind: "huge", match: "[one more]", attempts: "always", bytes: 1_900_001 },
      { kind: "huge", match: "[huge]", attempts: "always", bytes: 3_000_000 },
      { kind: "pretty", match: "[pretty]", attempts: "always" },
      { kind: "pretty", match: "[slow]", attempts: "always", afterMs: 400 },
    ],
  } satisfies SimulatorSettings;
  const simulator = await startSimulator(settings);
  project.provide("upstreamUrl", simulator.url);
  project.provide("upstreamSettings", settings);
  project.provide("receiverUrl", receiver.url);
  const { MUSTER_FUZZ_RUNS: runs = 10, MUSTER_FUZZ_SEED: seed = 1 } = process.env;
  project.provide("fuzz", { runs: Number(runs), seed: Number(seed) });
  return async () => {
    await simulator.close();
    await receiver.close();
  };
}
