import { afterEach, expect, vi } from "vitest";
import {
  type Simulator,
  type SimulatorSettings,
  startSimulator,
} from "../../src/simulator/index.ts";

const running: Simulator[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((simulator) => simulator.close()));
});

/** A simulator without latency, unless settings say otherwise; closed after the test. */
export async function simulate(settings: SimulatorSettings = {}): Promise<Simulator> {
  const simulator = await startSimulator({ latency: { kind: "fixed", ms: 0 }, ...settings });
  running.push(simulator);
  return simulator;
}

type GivenFault = NonNullable<SimulatorSettings["faults"]>[number];

/** A simulator with one fault. */
export function simulateFault(fault: GivenFault): Promise<Simulator> {
  return simulate({ faults: [fault] });
}

export function chatBody(prompt: string, more: object = {}) {
  return { model: "gpt-4o-mini", messages: [{ role: "user", content: prompt }], ...more };
}

export function post(
  simulator: Simulator,
  path: string,
  body: unknown,
  init: RequestInit = {},
): Promise<Response> {
  return fetch(`${simulator.url}${path}`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "content-type": "application/json" },
    ...init,
  });
}

export function chat(simulator: Simulator, prompt: string, init?: RequestInit): Promise<Response> {
  return post(simulator, "/chat/completions", chatBody(prompt), init);
}

export interface ChatAnswer {
  choices: { message: { content: string } }[];
  usage: { total_tokens: number };
}

/** The text of a chat answer; the call must succeed. */
export async function chatText(simulator: Simulator, prompt: string): Promise<string> {
  const response = await chat(simulator, prompt);
  expect(response.status).toBe(200);
  const answer = (await response.json()) as ChatAnswer;
  return answer.choices[0]?.message.content ?? "";
}

/** Waits until the stats agree. */
export async function untilStats(
  simulator: Simulator,
  expected: Partial<ReturnType<Simulator["stats"]>>,
): Promise<void> {
  await vi.waitFor(() => expect(simulator.stats()).toMatchObject(expected), {
    timeout: 10_000,
    interval: 5,
  });
}
