import { describe, expect, inject, it } from "vitest";
import type { Report } from "../../src/batch/exchange.ts";
import type { Upstream } from "../../src/config/upstreams.ts";
import { callUpstream } from "../../src/consumer/call.ts";
import type { Endpoint } from "../../src/wire/batch.ts";
import { callGround } from "../support/call-ground.ts";
import { upstreamAt } from "../support/upstream.ts";
import { digestOf, unique } from "../support/worker/client.ts";
import { chat } from "../support/worker/store.ts";

const TIMEOUT_MS = 5_000;
const CHAT = "/v1/chat/completions";

/** A call to the simulator as a consumer makes it. Streamed, unless said otherwise. */
function call(
  body: string,
  change: Partial<Upstream> = {},
  endpoint: Endpoint = CHAT,
  baseUrl = inject("upstreamUrl"),
): Promise<Report> {
  const own = { streamChat: true, timeoutMs: TIMEOUT_MS, idleTimeoutMs: 300, ...change };
  const upstream = upstreamAt(baseUrl, { maxConcurrency: 1 }, own);
  const task = { seq: 0, attempt: 1, upstream: "default", body, startInMs: 0 };
  return callUpstream(task, endpoint, upstream, callGround());
}

const ask = (marker: string, change: Partial<Upstream> = {}) => call(chat(unique(marker)), change);

function bodyOf({ result }: Report): unknown {
  return result.kind === "answered" ? JSON.parse(result.body) : result;
}

describe.concurrent("a streamed call", () => {
  it("comes to the very answer that it has unstreamed", async () => {
    const prompt = unique("the same");
    const streamed = await call(chat(prompt));
    const plain = await call(chat(prompt), { streamChat: false });
    expect(bodyOf(streamed)).toEqual(bodyOf(plain));
    expect(streamed.usage).toEqual(plain.usage);
    expect(streamed.verdict).toEqual({ kind: "succeeded" });
    expect(JSON.stringify(bodyOf(streamed))).toContain(await digestOf(prompt));
  });

  it("of several choices, too", async () => {
    const body = JSON.stringify({ ...JSON.parse(chat(unique("three"))), n: 3 });
    const streamed = await call(body);
    expect(bodyOf(streamed)).toMatchObject({ choices: [{ index: 0 }, { index: 1 }, { index: 2 }] });
    expect(bodyOf(streamed)).toEqual(bodyOf(await call(body, { streamChat: false })));
  });

  it("of a message, too", async () => {
    const messages = [{ role: "user", content: unique("空 a message 🐑") }];
    const system = [{ type: "text", text: "Short.", cache_control: { type: "ephemeral" } }];
    const body = JSON.stringify({ model: "m", max_tokens: 100, messages, system, stream: false });
    const anthropic = { apis: ["anthropic"] as const };
    const streamed = await call(body, anthropic, "/v1/messages");
    const plain = await call(body, { ...anthropic, streamChat: false }, "/v1/messages");
    expect(bodyOf(streamed)).toMatchObject({ type: "message", stop_reason: "end_turn" });
    expect(bodyOf(streamed)).toEqual(bodyOf(plain));
    expect(streamed.usage).toEqual(plain.usage);
    expect(streamed.usage?.cached_tokens).toBe(2);
  });

  it("of a response, too", async () => {
    const body = JSON.stringify({ model: "m", input: unique("respond") });
    const streamed = await call(body, {}, "/v1/responses");
    expect(bodyOf(streamed)).toMatchObject({ object: "response", status: "completed" });
    const plain = await call(body, { streamChat: false }, "/v1/responses");
    expect(streamed.result).toMatchObject({
      body: plain.result.kind === "answered" && plain.result.body,
    });
  });

  it("that said it would not stream is streamed all the same", async () => {
    const body = JSON.stringify({ ...JSON.parse(chat(unique("no"))), stream: false });
    expect(bodyOf(await call(body))).toMatchObject({ object: "chat.completion" });
  });

  it("keeps numbers as the upstream wrote them", async () => {
    const { result } = await ask("[pretty]");
    expect(result).toMatchObject({ body: expect.stringContaining("12345678901234567890") });
  });

  it("that the upstream answers with JSON is taken as it is", async () => {
    const report = await call(chat(unique("drip")), {}, CHAT, `${inject("receiverUrl")}/drip`);
    expect(report).toMatchObject({
      verdict: { kind: "succeeded" },
      result: { status: 200, body: '{"object":"chat.completion","choices":[]}' },
    });
  });

  it("that the upstream refuses is refused as ever", async () => {
    expect(await ask("[400]")).toMatchObject({
      verdict: { kind: "failed" },
      result: { kind: "answered", status: 400 },
    });
    expect(await ask("[429]")).toMatchObject({ verdict: { kind: "throttled", afterMs: 50 } });
  });

  it("of another endpoint is not streamed", async () => {
    const body = JSON.stringify({ model: "m", input: unique("embed") });
    // The simulator refuses to stream embeddings.
    expect((await call(body, {}, "/v1/embeddings")).verdict).toEqual({ kind: "succeeded" });
  });
});

describe.concurrent("a stream of a message", () => {
  const say = (marker: string) => {
    const messages = [{ role: "user", content: unique(marker) }];
    const body = JSON.stringify({ model: "m", max_tokens: 100, messages });
    return call(body, { apis: ["anthropic"] }, "/v1/messages");
  };

  it.each([
    ["cut between two events", "[cut always]", "truncated_response", "retry"],
    ["an error in the middle", "[stream 529]", "stream_error", "retry"],
    ["an error in the middle about its request", "[stream 400]", "stream_error", "failed"],
    ["an error in the middle about limits", "[stream 429]", "stream_error", "throttled"],
    ["an answer longer than a row", "[huge]", "response_too_large", "failed"],
  ])("because of %s is no answer", async (_, marker, code, kind) => {
    expect(await say(marker)).toMatchObject({ verdict: { kind }, result: { code } });
  });

  it("keeps numbers as the upstream wrote them", async () => {
    const { result } = await say("[pretty]");
    expect(result).toMatchObject({ body: expect.stringContaining("12345678901234567890") });
  });
});

describe.concurrent("a stream that is not whole", () => {
  it.each([
    ["cut between two events", "[cut always]", "truncated_response"],
    ["cut short of its length", "[truncated]", "truncated_response"],
    ["a page of HTML", "[not json]", "invalid_response"],
    ["an error in the middle", "[stream error]", "stream_error"],
    ["an error in the middle with a status", "[stream 502]", "stream_error"],
  ])("because of %s is tried again", async (_, marker, code) => {
    expect(await ask(marker)).toMatchObject({
      verdict: { kind: "retry" },
      result: { kind: "unanswered", code },
    });
  });

  it.each([
    ["too many requests rests the upstream", "[stream 429]", "throttled"],
    ["a wrong request fails the task", "[stream 400]", "failed"],
    ["money fails the task", "[stream no money]", "failed"],
  ])("because of an error about %s", async (_, marker, kind) => {
    expect(await ask(marker)).toMatchObject({
      verdict: { kind },
      result: { code: "stream_error", message: expect.stringContaining("broke its stream off") },
    });
  });

  it("because it fell silent is given up long before the call's time is over", async () => {
    const report = await ask("[hang body always]");
    expect(report).toMatchObject({
      verdict: { kind: "retry" },
      result: { code: "timeout", message: "The stream was silent for 300 ms." },
    });
    expect(report.tookMs).toBeGreaterThanOrEqual(290);
  });

  it("because it never began has its whole time, and no more", async () => {
    const report = await ask("[hang always]", { timeoutMs: 600 });
    expect(report).toMatchObject({
      result: { code: "timeout", message: "No whole answer within 600 ms." },
    });
  });

  it("because its answer is longer than a row fails the task for good", async () => {
    expect(await ask("[huge]")).toMatchObject({
      verdict: { kind: "failed" },
      result: { code: "response_too_large" },
    });
  });
});
