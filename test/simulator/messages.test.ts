import Anthropic from "@anthropic-ai/sdk";
import { describe, expect, test } from "vitest";
import { promptDigest, type Simulator } from "../../src/simulator/index.ts";
import { post, simulate, simulateFault } from "./support.ts";

/** The side of the simulator that speaks as Anthropic does, read by its official client. */

const model = "claude-sonnet-5";
const messages = [{ role: "user" as const, content: "群れとは何ですか？ 🐑" }];
const request = { model, messages, max_tokens: 500 };

function client(simulator: Simulator, options: { apiKey?: string } = {}): Anthropic {
  const baseURL = simulator.url.replace(/\/v1$/, "");
  return new Anthropic({ baseURL, apiKey: "sk-test", maxRetries: 0, ...options });
}

const textOf = ({ content }: Anthropic.Message): string =>
  content.map((block) => (block.type === "text" ? block.text : "")).join("");

describe("the official client", () => {
  test("reads a message that contains the prompt's digest", async () => {
    const simulator = await simulate();
    const answer = await client(simulator).messages.create(request);
    expect(answer).toMatchObject({ type: "message", role: "assistant", model });
    expect(textOf(answer)).toContain(`digest:${promptDigest("/v1/messages", request)}`);
    expect(answer.stop_reason).toBe("end_turn");
    expect(answer._request_id).toMatch(/^req_/);
    expect(answer.usage.input_tokens).toBeGreaterThan(0);
    expect(answer.usage.output_tokens).toBeGreaterThan(0);
  });

  test("reads a streamed message with the same text and usage", async () => {
    const simulator = await simulate();
    const whole = await client(simulator).messages.create(request);
    const streamed = await client(simulator).messages.stream(request).finalMessage();
    expect(textOf(streamed)).toBe(textOf(whole));
    expect(streamed.stop_reason).toBe("end_turn");
    expect(streamed.usage.output_tokens).toBe(whole.usage.output_tokens);
    expect(simulator.stats().byStatus).toEqual({ 200: 2 });
  });

  test("gets another answer for another system prompt", async () => {
    const simulator = await simulate();
    const plain = await client(simulator).messages.create(request);
    const system = [{ type: "text" as const, text: "Answer in verse." }];
    const told = await client(simulator).messages.create({ ...request, system });
    expect(promptDigest("/v1/messages", { ...request, system })).not.toBe(
      promptDigest("/v1/messages", request),
    );
    expect(textOf(told)).toContain(`digest:${promptDigest("/v1/messages", { system, messages })}`);
    expect(textOf(told)).not.toBe(textOf(plain));
  });

  test("sees what came from the prompt cache apart from the other input", async () => {
    const simulator = await simulate();
    const text = "A long and careful description of the task.";
    const cached = { type: "text" as const, text, cache_control: { type: "ephemeral" as const } };
    const with_ = await client(simulator).messages.create({ ...request, system: [cached] });
    const without = await client(simulator).messages.create({
      ...request,
      system: [{ type: "text", text }],
    });
    expect(with_.usage.cache_read_input_tokens).toBe(Math.ceil(text.length / 4));
    expect(without.usage.cache_read_input_tokens).toBe(0);
    expect(with_.usage.input_tokens + (with_.usage.cache_read_input_tokens ?? 0)).toBe(
      without.usage.input_tokens,
    );
  });

  test("gets an answer cut at max_tokens, its digest whole", async () => {
    const simulator = await simulate();
    const answer = await client(simulator).messages.create({ ...request, max_tokens: 2 });
    expect(answer.stop_reason).toBe("max_tokens");
    expect(answer.usage.output_tokens).toBe(2);
    expect(textOf(answer)).toBe(`digest:${promptDigest("/v1/messages", request)}`);
  });
});

describe("keys", () => {
  test("are taken as bearer and as x-api-key", async () => {
    const simulator = await simulate({ apiKey: "sk-right" });
    await client(simulator, { apiKey: "sk-right" }).messages.create(request);
    const headers = { "x-api-key": "sk-right", "anthropic-version": "2023-06-01" };
    const response = await post(simulator, "/messages", request, { headers });
    expect(response.status).toBe(200);
    expect(simulator.stats().authorizations).toEqual({
      "Bearer sk-right": 1,
      "x-api-key: sk-right": 1,
    });
  });

  test("that are wrong get the typed error", async () => {
    const simulator = await simulate({ apiKey: "sk-right" });
    const refused = client(simulator).messages.create(request);
    await expect(refused).rejects.toSatisfy(
      (error) =>
        error instanceof Anthropic.AuthenticationError && error.type === "authentication_error",
    );
  });

  test("as x-api-key open no other endpoint", async () => {
    const simulator = await simulate({ apiKey: "sk-right" });
    const headers = { "x-api-key": "sk-right" };
    const response = await post(simulator, "/completions", { model, prompt: "a" }, { headers });
    expect(response.status).toBe(401);
  });
});

describe("errors have Anthropic's shape", () => {
  test.each([
    ["no JSON", "{"],
    ["no model", { messages, max_tokens: 5 }],
    ["no messages", { model, max_tokens: 5 }],
    ["text as messages", { ...request, messages: "hi" }],
    ["no max_tokens", { model, messages }],
    ["max_tokens that are none", { ...request, max_tokens: "5" }],
  ])("%s", async (_name, body) => {
    const simulator = await simulate();
    const headers = { "anthropic-version": "2023-06-01" };
    const response = await post(simulator, "/messages", body, { headers });
    expect(response.status).toBe(400);
    const requestId = response.headers.get("request-id");
    expect(requestId).toMatch(/^req_/);
    expect(await response.json()).toEqual({
      type: "error",
      error: { type: "invalid_request_error", message: expect.any(String) },
      request_id: requestId,
    });
  });

  test("no anthropic-version", async () => {
    const simulator = await simulate();
    const response = await post(simulator, "/messages", request);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { message: "anthropic-version: header is required" },
    });
  });

  test.each([
    [400, "invalid_request_error"],
    [401, "authentication_error"],
    [403, "permission_error"],
    [404, "not_found_error"],
    [413, "request_too_large"],
    [429, "rate_limit_error"],
    [500, "api_error"],
    [504, "timeout_error"],
    [529, "overloaded_error"],
  ] as const)("the fault %i is a %s", async (code, type) => {
    const simulator = await simulateFault({ kind: "status", code });
    const refused = client(simulator).messages.create(request);
    await expect(refused).rejects.toMatchObject({ status: code, type });
  });

  test("a 429 about money has its error_code, and its class in the client", async () => {
    const simulator = await simulateFault({ kind: "insufficient_quota" });
    const refused = client(simulator).messages.create(request);
    await expect(refused).rejects.toMatchObject({
      status: 429,
      type: "rate_limit_error",
      errorCode: "enforced_spend_limit_reached",
    });
  });
});

test("limits are told as Anthropic tells them, with the time of a full refill", async () => {
  const simulator = await simulate({ limits: { rpm: 1, burst: 1, tpm: 100_000 } });
  const { response } = await client(simulator).messages.create(request).withResponse();
  const { headers } = response;
  expect(headers.get("anthropic-ratelimit-requests-limit")).toBe("1");
  expect(headers.get("anthropic-ratelimit-requests-remaining")).toBe("0");
  const reset = headers.get("anthropic-ratelimit-requests-reset") ?? "";
  expect(reset).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  expect(Date.parse(reset)).toBeGreaterThan(Date.now());
  expect(headers.get("anthropic-ratelimit-tokens-limit")).toBe("100000");
  expect(headers.has("x-ratelimit-limit-requests")).toBe(false);
  const refused = client(simulator).messages.create(request);
  await expect(refused).rejects.toSatisfy(
    (error) =>
      error instanceof Anthropic.RateLimitError && Number(error.headers.get("retry-after")) > 0,
  );
});
