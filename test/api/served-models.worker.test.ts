import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { createApp } from "../../src/api/app.ts";
import { ingestRange } from "../../src/batch/ingest.ts";
import { parseConfig } from "../../src/config.ts";
import { DEFAULT_KEY, errorOf } from "../support/worker/client.ts";
import { drive } from "../support/worker/faults.ts";
import { newBatch, plant } from "../support/worker/store.ts";

const UPSTREAMS = JSON.stringify([
  { name: "a", base_url: "http://127.0.0.1:1/v1", models: ["gpt-4o*"] },
  { name: "b", base_url: "http://127.0.0.1:1/v1", models: ["o3"] },
]);
/** The tests' environment, with upstreams that serve some models only. */
const {
  UPSTREAM_BASE_URL: _,
  UPSTREAM_API: __,
  ...rest
} = env as unknown as Record<string, unknown>;
const particular = { ...rest, UPSTREAMS };

function create(body: unknown): Promise<Response> {
  const init = {
    method: "POST",
    body: JSON.stringify(body),
    headers: { authorization: `Bearer ${DEFAULT_KEY}` },
  };
  return Promise.resolve(createApp().request("/v1/batches", init, particular));
}

describe("a model that nobody serves", () => {
  it("is refused with prompts, by the field and with what is served", async () => {
    const response = await create({ model: "llama", prompts: ["a"] });
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toEqual({
      message:
        "model: no upstream serves the model 'llama' on /v1/chat/completions; served there: gpt-4o*, o3.",
      type: "invalid_request_error",
      param: "model",
      code: "model_not_served",
    });
  });

  it("is refused in requests, by the first that asks for it", async () => {
    const bodies = ["gpt-4o-mini", "o3", "o4", "llama"].map((model) => ({ body: { model } }));
    const response = await create({ endpoint: "/v1/embeddings", requests: bodies });
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({
      param: "requests[2].body.model",
      code: "model_not_served",
    });
    const without = await create({ endpoint: "/v1/embeddings", requests: [{ body: {} }] });
    expect((await errorOf(without)).message).toContain("a body without a model");
  });

  it("fails the batch of a file, by the lines that ask for it", async () => {
    const batch = newBatch({ source_key: "files/1" });
    await plant(batch, [], (store) => {
      store.sql.exec("UPDATE batch SET status = 'validating', in_progress_at = NULL");
    });
    const line = (id: string, model: string) =>
      `${JSON.stringify({ custom_id: id, method: "POST", url: batch.endpoint, body: { model } })}\n`;
    const file = new TextEncoder().encode(line("a", "o3") + line("b", "llama") + line("c", "o3"));
    const source = {
      fileSize: async () => file.length,
      readFile: async (_key: string, from: number, length: number) =>
        file.slice(from, from + length),
    };
    const errors = await drive(batch, source, async ({ store, world }) => {
      const row = store.rows.get() ?? expect.fail();
      await ingestRange(store, world, row, parseConfig({ UPSTREAMS }).upstreams);
      expect(store.rows.get()?.status).toBe("failed");
      return JSON.parse(store.rows.get()?.errors ?? "") as unknown;
    });
    expect(errors).toEqual([
      {
        code: "model_not_served",
        message:
          "body.model: no upstream serves the model 'llama' on /v1/chat/completions; served there: gpt-4o*, o3.",
        param: "body.model",
        line: 2,
      },
    ]);
  });
});
