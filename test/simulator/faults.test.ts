import { describe, expect, test } from "vitest";
import { promptDigest } from "../../src/simulator/index.ts";
import { faultCodes } from "../../src/simulator/settings.ts";
import { chat, chatBody, chatText, post, simulate, simulateFault, untilStats } from "./support.ts";

describe("which calls a fault hits", () => {
  test("the first call of a prompt, unless told otherwise", async () => {
    const simulator = await simulateFault({ kind: "status", code: 500 });
    expect((await chat(simulator, "a")).status).toBe(500);
    expect((await chat(simulator, "a")).status).toBe(200);
    expect((await chat(simulator, "b")).status).toBe(500);
  });

  test("the first n calls, or all of them", async () => {
    const statusesOf = async (attempts: number | "always") => {
      const simulator = await simulateFault({ kind: "status", code: 500, attempts });
      const statuses: number[] = [];
      for (let n = 0; n < 4; n++) statuses.push((await chat(simulator, "a")).status);
      return statuses;
    };
    expect(await statusesOf(2)).toEqual([500, 500, 200, 200]);
    expect(await statusesOf("always")).toEqual([500, 500, 500, 500]);
  });

  test("only prompts with the text to match", async () => {
    const simulator = await simulateFault({ kind: "status", code: 500, match: "poison" });
    expect((await chat(simulator, "plain")).status).toBe(200);
    expect((await chat(simulator, "a poisoned one")).status).toBe(500);
  });

  test("about the share of prompts that the rate says", async () => {
    const simulator = await simulateFault({ kind: "status", code: 500, rate: 0.2 });
    const prompts = Array.from({ length: 500 }, (_, n) => `prompt ${n}`);
    await Promise.all(prompts.map(async (prompt) => (await chat(simulator, prompt)).text()));
    await untilStats(simulator, { inFlight: 0 });
    const hits = simulator.stats().byStatus["500"] ?? 0;
    expect(hits).toBeGreaterThan(70);
    expect(hits).toBeLessThan(130);
  });

  test("the first in the list wins", async () => {
    const simulator = await simulate({
      faults: [
        { kind: "status", code: 503 },
        { kind: "status", code: 500, attempts: "always" },
      ],
    });
    expect((await chat(simulator, "a")).status).toBe(503);
    expect((await chat(simulator, "a")).status).toBe(500);
  });

  test("calls refused by the limits are not attempts", async () => {
    const simulator = await simulate({
      limits: { rpm: 1, burst: 1 },
      faults: [{ kind: "status", code: 500 }],
    });
    expect((await chat(simulator, "spends the only request")).status).toBe(500);
    expect((await chat(simulator, "a")).status).toBe(429);
    simulator.configure({ faults: [{ kind: "status", code: 500 }] });
    expect((await chat(simulator, "a")).status).toBe(500);
  });
});

describe("status faults", () => {
  test.each(faultCodes)("%i in OpenAI's error shape", async (code) => {
    const simulator = await simulateFault({ kind: "status", code });
    const response = await chat(simulator, "a");
    expect(response.status).toBe(code);
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
    expect(response.headers.has("retry-after")).toBe(code === 429);
    expect(await response.json()).toMatchObject({
      error: { message: expect.any(String), type: expect.any(String), param: null },
    });
    await untilStats(simulator, { byStatus: { [code]: 1 } });
  });

  test("say when to come back, and whether to", async () => {
    const simulator = await simulateFault({
      kind: "status",
      code: 503,
      retryAfterMs: 1500,
      shouldRetry: false,
    });
    const { headers } = await chat(simulator, "a");
    expect(headers.get("retry-after-ms")).toBe("1500");
    expect(headers.get("retry-after")).toBe("2");
    expect(headers.get("x-should-retry")).toBe("false");
  });

  test("insufficient_quota is a 429 about money, without a time to come back", async () => {
    const simulator = await simulateFault({ kind: "insufficient_quota" });
    const response = await chat(simulator, "a");
    expect(response.status).toBe(429);
    expect(response.headers.has("retry-after")).toBe(false);
    expect(await response.json()).toMatchObject({
      error: { type: "insufficient_quota", code: "insufficient_quota" },
    });
  });
});

describe("faults of the connection", () => {
  test("reset: the connection ends before an answer", async () => {
    const simulator = await simulateFault({ kind: "reset" });
    await expect(chat(simulator, "a")).rejects.toMatchObject({ cause: { code: "ECONNRESET" } });
    await untilStats(simulator, { byStatus: { reset: 1 }, inFlight: 0, answered: 0 });
    expect(await chatText(simulator, "a")).toContain("digest:");
  });

  test("hang: no headers, until the client goes away", async () => {
    const simulator = await simulateFault({ kind: "hang" });
    const client = new AbortController();
    const response = chat(simulator, "a", { signal: client.signal });
    await untilStats(simulator, { byStatus: { hang: 1 }, inFlight: 1 });
    client.abort();
    await expect(response).rejects.toThrow();
    await untilStats(simulator, { byStatus: { hang: 1 }, inFlight: 0 });
  });

  test("hang_body: the headers and half of the body, then silence", async () => {
    const simulator = await simulateFault({ kind: "hang_body" });
    const client = new AbortController();
    const response = await chat(simulator, "a", { signal: client.signal });
    expect(response.status).toBe(200);
    const promised = Number(response.headers.get("content-length"));
    const reader = response.body?.getReader();
    let came = 0;
    while (came < Math.floor(promised / 2)) came += (await reader?.read())?.value?.length ?? 0;
    expect(came).toBe(Math.floor(promised / 2));
    const rest = reader?.read();
    client.abort();
    await expect(rest).rejects.toThrow();
    await untilStats(simulator, { byStatus: { hang_body: 1 }, inFlight: 0, answered: 0 });
  });

  test.each([false, true])(
    "truncated: half of the body, then the end (chunked: %s)",
    async (chunked) => {
      const simulator = await simulateFault({ kind: "truncated", chunked });
      const response = await chat(simulator, "a");
      expect(response.status).toBe(200);
      expect(response.headers.has("content-length")).toBe(!chunked);
      await expect(response.text()).rejects.toThrow();
      await untilStats(simulator, { byStatus: { truncated: 1 }, inFlight: 0, answered: 0 });
    },
  );

  test("truncated: a stream without its end", async () => {
    const simulator = await simulateFault({ kind: "truncated", chunked: true });
    const body = chatBody("a", { stream: true });
    const response = await post(simulator, "/chat/completions", body);
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    await expect(response.text()).rejects.toThrow();
  });
});

describe("faults of a stream", () => {
  const streamed = async (fault: Parameters<typeof simulateFault>[0]) => {
    const simulator = await simulateFault(fault);
    const body = chatBody("a", { stream: true });
    const response = await post(simulator, "/chat/completions", body);
    const text = await response.text();
    const events = text.split("\n\n").map((event) => event.replace(/^data: /, ""));
    return { simulator, events: events.slice(0, -1) };
  };

  test("stream_error: some events, then an error and no end", async () => {
    const { simulator, events } = await streamed({ kind: "stream_error", code: 502 });
    expect(events.length).toBeGreaterThan(2);
    expect(JSON.parse(events[0] ?? "")).toHaveProperty("choices");
    expect(JSON.parse(events.at(-1) ?? "")).toMatchObject({ error: { code: 502 } });
    await untilStats(simulator, { byStatus: { stream_error: 1 }, inFlight: 0, answered: 0 });
  });

  test("stream_error: a call that is not streamed gets a 500", async () => {
    const simulator = await simulateFault({ kind: "stream_error" });
    expect((await chat(simulator, "a")).status).toBe(500);
  });

  test("huge: a text of at least so many bytes", async () => {
    const { events } = await streamed({ kind: "huge", bytes: 100_000 });
    expect(events.join("").length).toBeGreaterThan(100_000);
    expect(events.at(-1)).toBe("[DONE]");
  });

  test("pretty: numbers that no parse survives", async () => {
    const { events } = await streamed({ kind: "pretty" });
    expect(events.join("")).toContain("12345678901234567890");
    expect(events.at(-1)).toBe("[DONE]");
  });
});

describe("faults of the answer", () => {
  test("not_json: a page of HTML, which is no answer", async () => {
    const simulator = await simulateFault({ kind: "not_json" });
    const response = await chat(simulator, "a");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toContain("text/html");
    expect(await response.text()).toContain("<!doctype html>");
    await untilStats(simulator, { byStatus: { not_json: 1 }, answered: 0 });
  });

  test("redirect: to the same URL, or to the one in the setting", async () => {
    const simulator = await simulateFault({ kind: "redirect" });
    const toItself = await chat(simulator, "a", { redirect: "manual" });
    expect(toItself.status).toBe(307);
    expect(toItself.headers.get("location")).toBe(`${simulator.url}/chat/completions`);
    expect(await chatText(simulator, "a")).toContain("digest:");
    simulator.configure({ faults: [{ kind: "redirect", to: "http://127.0.0.1:9/elsewhere" }] });
    const away = await chat(simulator, "b", { redirect: "manual" });
    expect(away.headers.get("location")).toBe("http://127.0.0.1:9/elsewhere");
  });

  test("huge: valid JSON of so many bytes", async () => {
    const simulator = await simulateFault({ kind: "huge", bytes: 1_000_000 });
    const text = await (await chat(simulator, "a")).text();
    expect(text).toHaveLength(1_000_000);
    expect(JSON.parse(text)).toMatchObject({ object: "chat.completion" });
    await untilStats(simulator, { byStatus: { 200: 1 }, answered: 1 });
  });

  test("pretty: valid JSON over several lines, with numbers too big to parse", async () => {
    const simulator = await simulateFault({ kind: "pretty" });
    const text = await (await chat(simulator, "a")).text();
    expect(text.split("\n").length).toBeGreaterThan(10);
    expect(text).toContain("12345678901234567890");
    const digest = promptDigest("/v1/chat/completions", chatBody("a"));
    expect(JSON.parse(text)).toHaveProperty("id", `chatcmpl-${digest}`);
  });
});

test("a fault waits for the latency when told to", async () => {
  const simulator = await simulate({
    latency: { kind: "fixed", ms: 60_000 },
    faults: [
      { kind: "status", code: 500, match: "late", afterMs: "latency" },
      { kind: "status", code: 500, match: "at once" },
    ],
  });
  expect((await chat(simulator, "at once")).status).toBe(500);
  const client = new AbortController();
  const late = chat(simulator, "late", { signal: client.signal });
  await untilStats(simulator, { calls: 2, inFlight: 1 });
  client.abort();
  await expect(late).rejects.toThrow();
  await untilStats(simulator, { byStatus: { 500: 1, aborted: 1 } });
});
