import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { promptDigest, type Simulator } from "../../src/simulator/index.ts";
import { chatBody, post, simulate } from "./support.ts";

const model = "gpt-4o-mini";
const messages = [
  { role: "system" as const, content: "Be brief." },
  { role: "user" as const, content: "What is a muster?" },
];

function client(simulator: Simulator, apiKey = "sk-test"): OpenAI {
  return new OpenAI({ baseURL: simulator.url, apiKey, maxRetries: 0 });
}

describe("the official client", () => {
  test("reads a chat completion that contains the prompt's digest", async () => {
    const simulator = await simulate();
    const answer = await client(simulator).chat.completions.create({ model, messages });
    const digest = promptDigest("/v1/chat/completions", { messages });
    expect(answer.object).toBe("chat.completion");
    expect(answer.model).toBe(model);
    expect(answer._request_id).toMatch(/^req_/);
    expect(answer.choices[0]?.message.content).toContain(`digest:${digest}`);
    expect(answer.choices[0]?.finish_reason).toBe("stop");
    const { prompt_tokens, completion_tokens, total_tokens } = answer.usage ?? {};
    expect(total_tokens).toBe((prompt_tokens ?? 0) + (completion_tokens ?? 0));
  });

  test("reads a streamed chat completion with the same text and the usage", async () => {
    const simulator = await simulate();
    const openai = client(simulator);
    const whole = await openai.chat.completions.create({ model, messages });
    const stream = await openai.chat.completions.create({
      model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    const reasons: unknown[] = [];
    let usage: unknown;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      reasons.push(chunk.choices[0]?.finish_reason);
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(reasons.filter(Boolean)).toEqual(["stop"]);
    expect(usage).toEqual(whole.usage);
  });

  test("reads as many choices as it asked for, streamed and not", async () => {
    const openai = client(await simulate());
    const whole = await openai.chat.completions.create({ model, messages, n: 3 });
    const stream = openai.chat.completions.stream({ model, messages, n: 3 });
    const streamed = await stream.finalChatCompletion();
    expect(whole.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(streamed.choices.map(({ message }) => message.content)).toEqual(
      whole.choices.map(({ message }) => message.content),
    );
  });

  test("reads a streamed response, whole at its end", async () => {
    const openai = client(await simulate());
    const whole = await openai.responses.create({ model, input: "What is a muster?" });
    const stream = openai.responses.stream({ model, input: "What is a muster?" });
    let text = "";
    stream.on("response.output_text.delta", ({ delta }) => {
      text += delta;
    });
    expect((await stream.finalResponse()).output_text).toBe(whole.output_text);
    expect(text).toBe(whole.output_text);
  });

  test("sends no usage in a stream that did not ask for it", async () => {
    const simulator = await simulate();
    const response = await post(simulator, "/chat/completions", chatBody("x", { stream: true }));
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const text = await response.text();
    expect(text).not.toContain("usage");
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  });

  test("reads a response, from text and from messages", async () => {
    const simulator = await simulate();
    const openai = client(simulator);
    const fromText = await openai.responses.create({ model, input: "What is a muster?" });
    const digest = promptDigest("/v1/responses", { input: "What is a muster?" });
    expect(fromText.output_text).toContain(`digest:${digest}`);
    expect(fromText.status).toBe("completed");
    const fromParts = await openai.responses.create({
      model,
      input: [{ role: "user", content: [{ type: "input_text", text: "What is a muster?" }] }],
    });
    expect(fromParts.output_text).toBe(fromText.output_text);
    expect(fromParts.usage?.total_tokens).toBeGreaterThan(0);
  });

  test("reads embeddings, one for each input, alike as base64 and as numbers", async () => {
    const simulator = await simulate();
    const openai = client(simulator);
    const request = { model: "text-embedding-3-small", input: ["one", "two"] };
    const packed = await openai.embeddings.create(request);
    const plain = await openai.embeddings.create({ ...request, encoding_format: "float" });
    expect(packed.data.map((entry) => entry.index)).toEqual([0, 1]);
    expect(packed.data[0]?.embedding).toHaveLength(1536);
    expect(packed.data[0]?.embedding).toEqual(plain.data[0]?.embedding);
    expect(packed.data[0]?.embedding).not.toEqual(packed.data[1]?.embedding);
    const small = await openai.embeddings.create({ ...request, dimensions: 8 });
    const squares = small.data[0]?.embedding.map((value) => value * value) ?? [];
    expect(squares).toHaveLength(8);
    expect(squares.reduce((sum, square) => sum + square)).toBeCloseTo(1);
    expect(packed).toHaveProperty("id", `embd-${promptDigest("/v1/embeddings", request)}`);
  });

  test("reads completions, moderations and the models", async () => {
    const simulator = await simulate();
    const openai = client(simulator);
    const completion = await openai.completions.create({ model, prompt: "Once" });
    const digest = promptDigest("/v1/completions", { prompt: "Once" });
    expect(completion.choices[0]?.text).toContain(`digest:${digest}`);
    const moderation = await openai.moderations.create({ input: ["a", "b"] });
    expect(moderation.results).toHaveLength(2);
    expect(moderation.results[0]?.categories["self-harm/intent"]).toBe(false);
    expect(moderation.id).toBe(`modr-${promptDigest("/v1/moderations", { input: ["a", "b"] })}`);
    const models = await openai.models.list();
    expect(models.data.map((entry) => entry.object)).toContain("model");
  });

  test("reads images, and whatever was asked for off them", async () => {
    const openai = client(await simulate());
    const prompt = "a heron in the rain";
    const answer = await openai.images.generate({ model: "gpt-image-1", prompt });
    const text = Buffer.from(answer.data?.[0]?.b64_json ?? "", "base64").toString();
    expect(text).toContain(`digest:${promptDigest("/v1/images/generations", { prompt })}`);
    expect(answer.usage?.total_tokens).toBeGreaterThan(0);
  });

  test("reads what a video's making was answered", async () => {
    const simulator = await simulate();
    const prompt = "a heron flies up";
    const response = await post(simulator, "/videos", { model: "sora-2", prompt });
    expect(await response.json()).toMatchObject({
      id: `video_${promptDigest("/v1/videos", { prompt })}`,
      object: "video",
      status: "queued",
    });
  });

  test("reads cached tokens of a long prompt, and reasoning tokens of a model that reasons", async () => {
    const openai = client(await simulate());
    const usageOf = async (model: string, content: string, more = {}) => {
      const messages = [{ role: "user" as const, content }];
      return (await openai.chat.completions.create({ model, messages, ...more })).usage;
    };
    const long = await usageOf("gpt-4o-mini", "x".repeat(4 * 1_100));
    expect(long?.prompt_tokens_details?.cached_tokens).toBe(1_024);
    const short = await usageOf("gpt-4o-mini", "x".repeat(4 * 1_000));
    expect(short?.prompt_tokens_details?.cached_tokens).toBe(0);
    expect(short?.completion_tokens_details?.reasoning_tokens).toBe(0);
    const thought = await usageOf("o3", "why");
    expect(thought?.completion_tokens_details?.reasoning_tokens).toBe(64);
    expect(thought?.completion_tokens).toBeGreaterThan(64);
    const cut = await usageOf("o3", "why", { max_completion_tokens: 10 });
    expect(cut?.completion_tokens).toBe(10);
    expect(cut?.completion_tokens_details?.reasoning_tokens).toBe(10);
  });

  test("gets the typed error for a wrong key, and answers for the right one", async () => {
    const simulator = await simulate({ apiKey: "sk-right" });
    const refused = client(simulator, "sk-wrong").chat.completions.create({ model, messages });
    await expect(refused).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    const answer = await client(simulator, "sk-right").chat.completions.create({ model, messages });
    expect(answer.object).toBe("chat.completion");
  });
});

test("an answer that meets max_tokens is cut and keeps its digest whole", async () => {
  const simulator = await simulate();
  const response = await post(
    simulator,
    "/chat/completions",
    chatBody("long", { max_completion_tokens: 2 }),
  );
  expect(await response.json()).toMatchObject({
    choices: [
      {
        message: { content: `digest:${promptDigest("/v1/chat/completions", chatBody("long"))}` },
        finish_reason: "length",
      },
    ],
    usage: { completion_tokens: 2 },
  });
});

describe("wrong requests get OpenAI's error shape", () => {
  test.each([
    ["no JSON", "/chat/completions", "{", 400, null],
    ["JSON that is no object", "/chat/completions", "[]", 400, null],
    ["no model", "/chat/completions", { messages }, 400, "model"],
    ["no messages", "/chat/completions", { model }, 400, "messages"],
    ["empty messages", "/chat/completions", { model, messages: [] }, 400, "messages"],
    ["text as messages", "/chat/completions", { model, messages: "hi" }, 400, "messages"],
    ["a message without role", "/chat/completions", { model, messages: [{}] }, 400, "messages[0]"],
    ["no input", "/responses", { model }, 400, "input"],
    ["empty input", "/embeddings", { model, input: "" }, 400, "input"],
    ["no prompt", "/completions", { model }, 400, "prompt"],
    ["a stream of embeddings", "/embeddings", { model, input: "x", stream: true }, 400, "stream"],
    ["an unknown path", "/chat/complaints", { model, messages }, 404, null],
  ])("%s", async (_name, path, body, status, param) => {
    const simulator = await simulate();
    const response = await post(simulator, path, body);
    expect(response.status).toBe(status);
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
    expect(await response.json()).toEqual({
      error: {
        message: expect.any(String),
        type: "invalid_request_error",
        param,
        code: expect.toSatisfy((code) => code === null || typeof code === "string"),
      },
    });
  });

  test("the wrong method", async () => {
    const simulator = await simulate();
    const response = await fetch(`${simulator.url}/responses`);
    expect(response.status).toBe(405);
    expect(await response.json()).toMatchObject({ error: { code: "method_not_supported" } });
  });
});
