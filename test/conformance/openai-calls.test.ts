import OpenAI, { BadRequestError, RateLimitError, toFile } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { promptDigest } from "../../src/simulator/index.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { chatLine, jsonl } from "../support/requests.ts";
import { until } from "../support/wait.ts";

/** Single calls of the official client, passed to the upstream under the limits of all batches. */

let muster: Running;
let client: OpenAI;
const MOST = 4;

beforeAll(async () => {
  muster = await startTestMuster(
    {
      latency: { kind: "fixed", ms: 60 },
      faults: [
        { kind: "status", code: 400, match: "[refused]", attempts: "always" },
        { kind: "status", code: 500, match: "[once]", attempts: "first" },
        { kind: "status", code: 429, match: "[busy]", attempts: "always", retryAfterMs: 10 },
      ],
    },
    { UPSTREAM_MAX_CONCURRENCY: `${MOST}` },
  );
  client = new OpenAI({ baseURL: muster.url, apiKey: muster.apiKey, fetch: muster.fetch });
});
afterAll(() => muster.stop());

const model = "gpt-4o-mini";
const chat = (content: string, more: { maxRetries?: number } = {}) =>
  client.chat.completions.create({ model, messages: [{ role: "user", content }] }, more);

describe("single calls", () => {
  it("reach every endpoint, and come back in the client's types", async () => {
    const messages = [{ role: "user" as const, content: "a heron" }];
    const completion = await client.chat.completions.create({ model, messages });
    const digest = promptDigest("/v1/chat/completions", { messages });
    expect(completion.choices[0]?.message.content).toContain(`digest:${digest}`);
    expect(completion._request_id).toMatch(/^req_/);
    const response = await client.responses.create({ model, input: "a heron" });
    expect(response.output_text).toContain("digest:");
    const embeddings = await client.embeddings.create({ model, input: ["a", "b"] });
    expect(embeddings.data).toHaveLength(2);
    const text = await client.completions.create({ model, prompt: "a heron" });
    expect(text.choices[0]?.text).toContain("digest:");
    const moderation = await client.moderations.create({ input: "a heron" });
    expect(moderation.results).toHaveLength(1);
    const images = await client.images.generate({ model, prompt: "a heron" });
    expect(images.data?.[0]?.b64_json).toMatch(/^[\w+/=]+$/);
  });

  it("stream, and can be broken off", async () => {
    const messages = [{ role: "user" as const, content: "a streamed heron" }];
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    expect(text).toContain(`digest:${promptDigest("/v1/chat/completions", { messages })}`);
    const broken = await client.chat.completions.create({ model, messages, stream: true });
    for await (const _ of broken) break;
    await chat("and the next one is answered");
  });

  it("fail as the upstream fails them, and the client does what it does then", async () => {
    await expect(chat("[refused]")).rejects.toBeInstanceOf(BadRequestError);
    expect((await chat("[once]")).choices).toHaveLength(1);
    await expect(chat("[busy]", { maxRetries: 0 })).rejects.toBeInstanceOf(RateLimitError);
  });

  it("and batches share the upstream's limits, and get on beside each other", async () => {
    await chat("wait for the cooldown of what was busy");
    muster.simulator.reset();
    const rows = Array.from({ length: 120 }, (_, n) => chatLine(`b-${n}`, `in a batch ${n}`));
    const file = await toFile(Buffer.from(jsonl(rows)), "in.jsonl");
    const input = await client.files.create({ file, purpose: "batch" });
    const batch = await client.batches.create({
      input_file_id: input.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    const inProgress = () => client.batches.retrieve(batch.id);
    await until(inProgress, ({ request_counts }) => (request_counts?.completed ?? 0) > 0);
    const single = await Promise.all(
      Array.from({ length: 20 }, (_, n) => chat(`alone ${n}`, { maxRetries: 0 })),
    );
    expect(single.every(({ choices }) => choices.length === 1)).toBe(true);
    // They did not stand behind the whole batch.
    expect((await inProgress()).status).toBe("in_progress");
    const end = await until(inProgress, ({ status }) => status === "completed");
    expect(end.request_counts).toEqual({ total: 120, completed: 120, failed: 0 });
    expect(muster.simulator.stats()).toMatchObject({ calls: 140 });
    expect(muster.simulator.stats().mostInFlight).toBeLessThanOrEqual(MOST);
  });
});
