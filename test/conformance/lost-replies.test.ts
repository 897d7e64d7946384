import Anthropic from "@anthropic-ai/sdk";
import OpenAI, { toFile } from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import { type LossyProxy, startLossyProxy } from "../support/lossy-proxy.ts";
import { type Running, startTestMuster } from "../support/muster.ts";

/**
 * The official clients on a connection that loses replies. They repeat the request by themselves, and
 * say so; they know nothing of what the lost one did.
 */

let muster: Running;
let proxy: LossyProxy;
let client: OpenAI;

beforeAll(async () => {
  muster = await startTestMuster({
    faults: [{ kind: "status", code: 400, match: "[refused]", attempts: "always" }],
  });
  proxy = await startLossyProxy(() => muster.url);
  client = new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey: muster.apiKey, maxRetries: 2 });
});
afterAll(async () => {
  await proxy.close();
  await muster.stop();
});
beforeEach(() => {
  proxy.passed.length = 0;
});

async function batches(): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of client.batches.list()) ids.push(id);
  return ids;
}

const line = (id: string) =>
  JSON.stringify({
    custom_id: id,
    method: "POST",
    url: "/v1/chat/completions",
    body: { model: "gpt-4o-mini", messages: [{ role: "user", content: `lost reply ${id}` }] },
  });

describe("a creation whose reply was lost", () => {
  it.each([1, 2])("%i times opens one batch from a file, which the client gets", async (lost) => {
    const file = await toFile(Buffer.from(line(`file ${lost}`)), "a.jsonl");
    const { id: input_file_id } = await client.files.create({ file, purpose: "batch" });
    const before = await batches();
    proxy.loseReplies("POST", "/v1/batches", lost);
    const batch = await client.batches.create({
      input_file_id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    expect(proxy.passed.filter((one) => one === "POST /v1/batches")).toHaveLength(lost + 1);
    expect(await batches()).toEqual([batch.id, ...before]);
  });

  it("opens one batch from tasks in the request", async () => {
    const before = await batches();
    proxy.loseReplies("POST", "/v1/batches", 1);
    const body = { model: "gpt-4o-mini", prompts: ["a lost reply, inline"] };
    const batch = await client.post<BatchObject>("/batches", { body });
    expect(proxy.passed.filter((one) => one === "POST /v1/batches")).toHaveLength(2);
    expect(await batches()).toEqual([batch.id, ...before]);
  });

  it("opens one batch of messages for Anthropic's client, too", async () => {
    const anthropic = new Anthropic({ baseURL: proxy.url, apiKey: muster.apiKey, maxRetries: 2 });
    const ids: string[] = [];
    const list = async () => {
      const found: string[] = [];
      for await (const { id } of anthropic.messages.batches.list()) found.push(id);
      return found;
    };
    ids.push(...(await list()));
    proxy.loseReplies("POST", "/v1/messages/batches", 2);
    const params = {
      model: "claude-haiku-4-5",
      max_tokens: 20,
      messages: [{ role: "user" as const, content: "a lost reply" }],
    };
    const batch = await anthropic.messages.batches.create({
      requests: [{ custom_id: "a", params }],
    });
    expect(proxy.passed.filter((one) => one === "POST /v1/messages/batches")).toHaveLength(3);
    expect(await list()).toEqual([batch.id, ...ids]);
  });

  it("opens two, if the client asks for two", async () => {
    const before = await batches();
    const body = { model: "gpt-4o-mini", prompts: ["twice the same"] };
    const first = await client.post<BatchObject>("/batches", { body });
    proxy.loseReplies("POST", "/v1/batches", 1);
    const second = await client.post<BatchObject>("/batches", { body });
    expect(await batches()).toEqual([second.id, first.id, ...before]);
  });

  it("with a key uploads one file", async () => {
    const options = { headers: { "Idempotency-Key": "one file" } };
    proxy.loseReplies("POST", "/v1/files", 1);
    const file = await toFile(Buffer.from(line("key")), "once.jsonl");
    const uploaded = await client.files.create({ file, purpose: "batch" }, options);
    expect(proxy.passed.filter((one) => one === "POST /v1/files")).toHaveLength(2);
    const named = [];
    for await (const one of client.files.list()) if (one.filename === "once.jsonl") named.push(one);
    expect(named).toEqual([uploaded]);
  });
});

describe("another POST whose reply was lost", () => {
  it("with a key is done once: a batch is retried once", async () => {
    const { id } = await client.post<BatchObject>("/batches", {
      body: { model: "gpt-4o-mini", prompts: ["[refused]"] },
    });
    let batch = await client.batches.retrieve(id, { headers: { Prefer: "wait=30" } });
    expect(batch).toMatchObject({ status: "completed", request_counts: { failed: 1 } });
    proxy.loseReplies("POST", "/retry", 1);
    const headers = { "Idempotency-Key": `retry ${id}` };
    const again = await client.post<BatchObject>(`/batches/${id}/retry`, { headers });
    expect(again.muster.run).toBe(2);
    batch = await client.batches.retrieve(id, { headers: { Prefer: "wait=30" } });
    expect(batch).toMatchObject({ status: "completed", muster: { run: 2 } });
  });
});
