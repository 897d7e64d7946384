import { draftAnswer } from "../../src/simulator/draft.ts";
import { faultDelayMs, pickFault } from "../../src/simulator/faults.ts";
import { checkSettings, type Fault, promptDigest } from "../../src/simulator/index.ts";
import { drawLatencyMs } from "../../src/simulator/latency.ts";
import { readRequest } from "../../src/simulator/requests.ts";
import type { Attempt, DrawnTask } from "./ideal.ts";
import { chatBody } from "./input.ts";
import { simulatorSettings, type Workload } from "./workloads.ts";

const ENDPOINT = "/v1/chat/completions";
/** A task is not drawn further than this: a fault that hits every call has no answer behind it. */
const ATTEMPTS_MAX = 20;

/** The digest that the answer to a prompt carries. */
export function digestOf(prompt: string): string {
  return promptDigest(ENDPOINT, { messages: [{ role: "user", content: prompt }] });
}

/** What the simulator will do with each prompt: its own functions, asked beforehand. */
export function drawTasks(
  workload: Workload,
  seed: number,
  prompts: readonly string[],
): DrawnTask[] {
  const settings = checkSettings(simulatorSettings(workload, seed));
  return prompts.map((prompt) => {
    const read = readRequest(ENDPOINT, JSON.stringify(chatBody(prompt)));
    if (!("request" in read)) throw new Error("the simulator would refuse this prompt");
    const { digest, model } = read.request;
    const latencyMs = drawLatencyMs(settings.latency, seed, digest, model);
    const { promptTokens, completionTokens } = draftAnswer(read.request, seed);
    const attempts: Attempt[] = [];
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      const fault = pickFault(settings.faults, seed, { prompt, digest, attempt });
      if (fault === undefined) break;
      attempts.push(faultyAttempt(fault, latencyMs, workload.timeoutMs));
    }
    attempts.push({ holdsMs: latencyMs, thenWaitMs: 0 });
    return { latencyMs, tokens: promptTokens + completionTokens, attempts };
  });
}

function faultyAttempt(fault: Fault, latencyMs: number, timeoutMs: number): Attempt {
  if (fault.kind === "hang" || fault.kind === "hang_body") {
    return { holdsMs: timeoutMs, thenWaitMs: 0 };
  }
  // Without a time of its own the simulator says one second with a 429.
  const told =
    fault.kind === "status" ? (fault.retryAfterMs ?? (fault.code === 429 ? 1000 : 0)) : 0;
  return { holdsMs: faultDelayMs(fault, latencyMs), thenWaitMs: told };
}
