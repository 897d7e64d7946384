import { expect, test } from "vitest";
import { chat, chatText, simulate, simulateFault, untilStats } from "./support.ts";

test("a new simulator has seen nothing", async () => {
  const simulator = await simulate();
  expect(simulator.stats()).toEqual({
    calls: 0,
    byStatus: {},
    inFlight: 0,
    mostInFlight: 0,
    answered: 0,
    distinctPrompts: 0,
    answeredPrompts: 0,
    duplicates: 0,
    repeatedPrompts: 0,
    firstCallAt: null,
    lastAnswerAt: null,
    authorizations: {},
  });
});

test("a call of an answered prompt is a duplicate, a retry of a failed one is not", async () => {
  const simulator = await simulateFault({ kind: "status", code: 500, match: "fails" });
  await (await chat(simulator, "fails")).text();
  await chatText(simulator, "fails");
  expect(simulator.stats()).toMatchObject({ calls: 2, duplicates: 0, repeatedPrompts: 1 });
  await chatText(simulator, "fails");
  await chatText(simulator, "fails");
  await chatText(simulator, "once");
  await untilStats(simulator, {
    calls: 5,
    duplicates: 2,
    repeatedPrompts: 1,
    distinctPrompts: 2,
    answeredPrompts: 2,
    answered: 4,
    byStatus: { 200: 4, 500: 1 },
  });
});

test("the most in flight is how many calls overlapped", async () => {
  const simulator = await simulate({ faults: [{ kind: "hang", match: "held" }] });
  const client = new AbortController();
  const held = [1, 2, 3].map((n) => chat(simulator, `held ${n}`, { signal: client.signal }));
  await untilStats(simulator, { inFlight: 3 });
  client.abort();
  await Promise.allSettled(held);
  await untilStats(simulator, { inFlight: 0 });
  await chatText(simulator, "a");
  expect(simulator.stats()).toMatchObject({ mostInFlight: 3, calls: 4 });
});

test("a call whose client goes away before the answer is aborted", async () => {
  const simulator = await simulate({ latency: { kind: "fixed", ms: 60_000 } });
  const client = new AbortController();
  const response = chat(simulator, "a", { signal: client.signal });
  await untilStats(simulator, { inFlight: 1 });
  client.abort();
  await expect(response).rejects.toThrow();
  await untilStats(simulator, { inFlight: 0, byStatus: { aborted: 1 }, answered: 0 });
  expect(simulator.latencies()).toEqual([]);
});

test("a call whose client goes away in the middle of the answer is aborted", async () => {
  const simulator = await simulateFault({ kind: "huge", bytes: 100_000_000 });
  const client = new AbortController();
  const response = await chat(simulator, "a", { signal: client.signal });
  await response.body?.getReader().read();
  client.abort();
  await untilStats(simulator, { inFlight: 0, byStatus: { aborted: 1 }, answered: 0 });
});

test("with headersFirst the headers come before the body is due", async () => {
  const simulator = await simulate({ latency: { kind: "fixed", ms: 60_000 }, headersFirst: true });
  const client = new AbortController();
  const response = await chat(simulator, "a", { signal: client.signal });
  expect(response.status).toBe(200);
  expect(simulator.stats()).toMatchObject({ inFlight: 1, answered: 0 });
  client.abort();
  await expect(response.text()).rejects.toThrow();
  await untilStats(simulator, { byStatus: { aborted: 1 } });
});

test("with headersFirst the body comes in the end", async () => {
  const simulator = await simulate({ latency: { kind: "fixed", ms: 5 }, headersFirst: true });
  expect(await chatText(simulator, "a")).toContain("digest:");
  await untilStats(simulator, { answered: 1 });
  expect(simulator.latencies()).toEqual([5]);
});

test("an answer takes its latency", async () => {
  const simulator = await simulate({ latency: { kind: "fixed", ms: 30 } });
  const startedAtMs = performance.now();
  await chatText(simulator, "a");
  // Node may fire a timer a fraction of a millisecond early.
  expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(29);
});

test("calls are counted by their Authorization header", async () => {
  const simulator = await simulate();
  await (await chat(simulator, "a", { headers: { authorization: "Bearer one" } })).text();
  await (await chat(simulator, "b", { headers: { authorization: "Bearer one" } })).text();
  await (await chat(simulator, "c", { headers: {} })).text();
  expect(simulator.stats().authorizations).toEqual({ "Bearer one": 2, "(none)": 1 });
});

test("calls that came before a reset do not count after it", async () => {
  const simulator = await simulateFault({ kind: "hang", match: "held" });
  const client = new AbortController();
  const held = chat(simulator, "held", { signal: client.signal });
  await untilStats(simulator, { inFlight: 1 });
  simulator.reset();
  expect(simulator.stats()).toMatchObject({ calls: 0, inFlight: 0, byStatus: {} });
  client.abort();
  await expect(held).rejects.toThrow();
  await chatText(simulator, "a");
  await untilStats(simulator, { calls: 1, inFlight: 0, byStatus: { 200: 1 } });
});

test("close ends calls that hang or wait", async () => {
  const simulator = await simulate({
    latency: { kind: "fixed", ms: 60_000 },
    faults: [{ kind: "hang", match: "hangs" }],
  });
  const calls = ["hangs", "waits"].map((prompt) => chat(simulator, prompt));
  const settled = Promise.allSettled(calls);
  await untilStats(simulator, { inFlight: 2 });
  await simulator.close();
  expect((await settled).map((result) => result.status)).toEqual(["rejected", "rejected"]);
  await untilStats(simulator, { inFlight: 0, byStatus: { hang: 1, aborted: 1 } });
});
