import { expect, test } from "vitest";
import {
  promptDigest,
  promptText,
  type Simulator,
  type SimulatorSettings,
} from "../../src/simulator/index.ts";
import { drawLatencyMs } from "../../src/simulator/latency.ts";
import { chat, chatBody, chatText, post, simulate } from "./support.ts";

const prompts = Array.from({ length: 40 }, (_, n) => `prompt ${n}`);

async function textsAndStatuses(simulator: Simulator, order: string[]) {
  const seen = new Map<string, [number, string]>();
  for (const prompt of order) {
    const response = await chat(simulator, prompt);
    seen.set(prompt, [response.status, await response.text()]);
  }
  return prompts.map((prompt) => seen.get(prompt));
}

test("answers and faults are the same in another order and another run", async () => {
  const settings: SimulatorSettings = {
    seed: 7,
    faults: [{ kind: "status", code: 503, rate: 0.3 }],
  };
  const forwards = await textsAndStatuses(await simulate(settings), prompts);
  const backwards = await textsAndStatuses(await simulate(settings), prompts.toReversed());
  expect(backwards).toEqual(forwards);
  const statuses = forwards.map((entry) => entry?.[0]);
  expect(statuses).toContain(200);
  expect(statuses).toContain(503);
});

test("another seed means other texts and other faults", async () => {
  const settings: SimulatorSettings = { faults: [{ kind: "status", code: 503, rate: 0.3 }] };
  const one = await textsAndStatuses(await simulate({ ...settings, seed: 1 }), prompts);
  const two = await textsAndStatuses(await simulate({ ...settings, seed: 2 }), prompts);
  expect(two).not.toEqual(one);
  expect(two.map((entry) => entry?.[0])).not.toEqual(one.map((entry) => entry?.[0]));
});

test("another model means another text, with the same digest", async () => {
  const simulator = await simulate();
  const other = await post(simulator, "/chat/completions", {
    ...chatBody("same"),
    model: "some-other-model",
  });
  const [text, otherText] = [await chatText(simulator, "same"), await other.text()];
  expect(otherText).not.toContain(text);
  expect(otherText).toContain(text.split(" ", 1)[0]);
});

test("latencies are drawn for a prompt, whatever the order of the calls", async () => {
  const latency = { kind: "lognormal" as const, medianMs: 3, sigma: 1, maxMs: 40 };
  const runs = [prompts, prompts.toReversed()].map(async (order) => {
    const simulator = await simulate({ latency });
    for (const prompt of order) await chatText(simulator, prompt);
    return simulator.latencies();
  });
  const [forwards, backwards] = await Promise.all(runs);
  expect(forwards).toHaveLength(prompts.length);
  expect(backwards?.toReversed()).toEqual(forwards);
});

test("lognormal latencies have the median and the spread asked for, and the cap", () => {
  const latency = { kind: "lognormal" as const, medianMs: 1000, sigma: 0.5, maxMs: 2500 };
  const drawn = Array.from({ length: 4000 }, (_, n) => {
    const digest = promptDigest("/v1/responses", { input: `prompt ${n}` });
    return drawLatencyMs(latency, 1, digest, "gpt-4o");
  }).sort((a, b) => a - b);
  const quantile = (share: number) => drawn[Math.floor(share * drawn.length)] ?? 0;
  expect(quantile(0.5)).toBeGreaterThan(950);
  expect(quantile(0.5)).toBeLessThan(1050);
  expect(Math.log(quantile(0.8413) / quantile(0.1587)) / 2).toBeCloseTo(0.5, 1);
  expect(quantile(0.999)).toBe(2500);
});

test("a prompt is the text of its messages or inputs, in order", () => {
  const text = promptText("/v1/chat/completions", {
    model: "ignored",
    messages: [
      { role: "system", content: "first" },
      { role: "user", content: [{ type: "text", text: "second" }, { type: "image_url" }] },
      { role: "assistant", content: null },
    ],
  });
  expect(text).toBe("first\nsecond\n\n");
  expect(promptText("/v1/embeddings", { input: ["a", "b"] })).toBe("a\nb");
  expect(promptText("/v1/responses", { input: "a" })).toBe("a");
  expect(promptDigest("/v1/completions", { prompt: "abc" })).toBe("ba7816bf8f01cfea");
});
