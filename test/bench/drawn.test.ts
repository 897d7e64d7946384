import { afterEach, expect, it } from "vitest";
import { type Simulator, startSimulator } from "../../src/simulator/index.ts";
import { digestOf, drawTasks } from "./drawn.ts";
import { chatBody, makePrompts } from "./input.ts";
import { simulatorSettings, type Workload, workloads } from "./workloads.ts";

let simulator: Simulator | undefined;
afterEach(() => simulator?.close());

const quick: Workload = {
  name: "quick",
  about: "",
  tasks: 30,
  lanes: 30,
  latency: { kind: "lognormal", medianMs: 10, sigma: 1 },
  told: true,
  timeoutMs: 1_000,
  input: "inline",
  shape: "whole",
};

it("draws the latencies, tokens and digests that the simulator then has", async () => {
  const prompts = makePrompts(quick.tasks);
  simulator = await startSimulator(simulatorSettings(quick, 7));
  const drawn = drawTasks(quick, 7, prompts);
  for (const [index, prompt] of prompts.entries()) {
    const response = await fetch(`${simulator.url}/chat/completions`, {
      method: "POST",
      body: JSON.stringify(chatBody(prompt)),
    });
    const answer = (await response.json()) as {
      usage: { total_tokens: number };
      choices: { message: { content: string } }[];
    };
    expect(answer.usage.total_tokens).toBe(drawn[index]?.tokens);
    expect(answer.choices[0]?.message.content).toContain(`digest:${digestOf(prompt)}`);
  }
  expect(simulator.latencies()).toEqual(drawn.map(({ latencyMs }) => latencyMs));
});

it("draws the faults in their shares, each before the answer", () => {
  const faults = workloads.find(({ name }) => name === "faults");
  if (faults === undefined) throw new Error("there is no such workload");
  const drawn = drawTasks(faults, 1, makePrompts(2_000));
  const failing = drawn.filter(({ attempts }) => attempts.length > 1);
  // 9 % of 2,000, give or take four standard deviations.
  expect(failing.length).toBeGreaterThan(129);
  expect(failing.length).toBeLessThan(231);
  for (const { attempts, latencyMs } of failing) {
    expect(attempts.at(-1)).toEqual({ holdsMs: latencyMs, thenWaitMs: 0 });
  }
  expect(failing.some(({ attempts }) => attempts[0]?.holdsMs === faults.timeoutMs)).toBe(true);
  expect(failing.some(({ attempts }) => attempts[0]?.thenWaitMs === 1_000)).toBe(true);
});
