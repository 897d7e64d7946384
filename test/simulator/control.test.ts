import { expect, test } from "vitest";
import { checkSettings, SettingsError, type Simulator } from "../../src/simulator/index.ts";
import { chat, chatText, simulate, untilStats } from "./support.ts";

function control(simulator: Simulator, method: string, path: string, body?: string) {
  const init = body === undefined ? { method } : { method, body };
  return fetch(new URL(`/_sim${path}`, simulator.url), init);
}

test("stats and latencies can be read over HTTP", async () => {
  const simulator = await simulate({ latency: { kind: "fixed", ms: 3 } });
  await chatText(simulator, "a");
  await untilStats(simulator, { answered: 1 });
  expect(await (await control(simulator, "GET", "/stats")).json()).toEqual(simulator.stats());
  expect(await (await control(simulator, "GET", "/latencies")).json()).toEqual([3]);
});

test("how calls ended, second by second, can be read over HTTP", async () => {
  const simulator = await simulate({ faults: [{ kind: "status", code: 429, match: "[429]" }] });
  await chatText(simulator, "a");
  expect((await chat(simulator, "b [429]")).status).toBe(429);
  await untilStats(simulator, { answered: 1, byStatus: { 200: 1, 429: 1 } });
  const timeline = (await (await control(simulator, "GET", "/timeline")).json()) as {
    answered: number[];
    throttled: number[];
  };
  // All of it in the first second, as a rule; on a busy machine later.
  const sum = (counts: number[]) => counts.reduce((total, count) => total + count, 0);
  expect(sum(timeline.answered)).toBe(1);
  expect(sum(timeline.throttled)).toBe(1);
  expect(timeline.answered).toHaveLength(timeline.throttled.length);
});

test("settings put over HTTP replace the old ones, defaults filled in", async () => {
  const simulator = await simulate({ apiKey: "sk-old" });
  const body = JSON.stringify({ faults: [{ kind: "status", code: 404 }] });
  const response = await control(simulator, "PUT", "/settings", body);
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({
    seed: 1,
    latency: { kind: "fixed", ms: 20 },
    headersFirst: false,
    limits: {},
    faults: [{ kind: "status", code: 404, rate: 1, attempts: "first" }],
  });
  expect((await chat(simulator, "a")).status).toBe(404);
});

test("reset over HTTP forgets the counts", async () => {
  const simulator = await simulate();
  await chatText(simulator, "a");
  expect((await control(simulator, "POST", "/reset")).status).toBe(200);
  expect(simulator.stats()).toMatchObject({ calls: 0, distinctPrompts: 0 });
});

test.each([
  ["{", "settings: not JSON"],
  ["null", "settings: "],
  ['{"limits":{"rpm":"fast"}}', "settings.limits.rpm: "],
  ['{"limits":{"rps":5}}', "rps"],
  ['{"faults":[{"kind":"hang"},{"kind":"status","code":200}]}', "settings.faults[1].code: "],
  ['{"faults":[{"kind":"hang","attempts":"last"}]}', "settings.faults[0].attempts: "],
  ['{"faults":[{"kind":"sulk"}]}', "settings.faults[0].kind: "],
  ['{"latency":{"kind":"fixed"}}', "settings.latency.ms: "],
])("wrong settings %s are refused, and nothing changes", async (body, complaint) => {
  const simulator = await simulate();
  const response = await control(simulator, "PUT", "/settings", body);
  expect(response.status).toBe(400);
  expect(await response.json()).toEqual({ error: { message: expect.stringContaining(complaint) } });
  expect((await chat(simulator, "a")).status).toBe(200);
});

test("an unknown control path is 404", async () => {
  const simulator = await simulate();
  expect((await control(simulator, "GET", "/settings")).status).toBe(404);
});

test("wrong settings given in the program throw", async () => {
  expect(() => checkSettings({ seed: 1.5 })).toThrow(SettingsError);
  expect(() => checkSettings({ seed: 1.5 })).toThrow("settings.seed: ");
  const simulator = await simulate();
  expect(() => simulator.configure({ seed: 1.5 })).toThrow(SettingsError);
});
