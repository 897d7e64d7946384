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

/** A request to a Worker with other upstreams, of one API each. */
function withApis(apis: Record<string, string[]>, path: string, body: unknown): Promise<Response> {
  const list = Object.entries(apis).map(([api, models]) => ({
    name: api,
    base_url: "http://127.0.0.1:1/v1",
    api,
    models,
  }));
  const init = {
    method: "POST",
    body: JSON.stringify(body),
    headers: { authorization: `Bearer ${DEFAULT_KEY}` },
  };
  const vars = { ...rest, UPSTREAMS: JSON.stringify(list) };
  return Promise.resolve(createApp().request(path, init, vars));
}

describe("an API that no upstream speaks", () => {
  const message = { custom_id: "a", params: { model: "claude", max_tokens: 1, messages: [] } };

  it("is told at once at Anthropic's door, and what to do", async () => {
    const body = { requests: [message] };
    const response = await withApis({ openai: ["*"] }, "/v1/messages/batches", body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      type: "error",
      error: {
        type: "invalid_request_error",
        message:
          "requests.0.params.model: no upstream of this Muster has /v1/messages; one whose 'api' is anthropic would.",
      },
    });
  });

  it("is told with the models that are served there", async () => {
    const other = { ...message, custom_id: "b", params: { ...message.params, model: "gpt-4o" } };
    const apis = { openai: ["gpt-*"], anthropic: ["claude*"] };
    const body = { requests: [message, other] };
    const response = await withApis(apis, "/v1/messages/batches", body);
    expect(await response.json()).toMatchObject({
      error: {
        message:
          "requests.1.params.model: no upstream serves the model 'gpt-4o' on /v1/messages; served there: claude*.",
      },
    });
  });

  it("leaves prompts to the API that has their model", async () => {
    const apis = { openai: ["gpt-*"], anthropic: ["claude*"] };
    const endpointOf = async (model: string) => {
      const prompts = { model, prompts: ["never called"], max_tokens: 5 };
      const response = await withApis(apis, "/v1/batches", prompts);
      expect(response.status).toBe(202);
      return ((await response.json()) as { endpoint: string }).endpoint;
    };
    expect(await endpointOf("claude-sonnet")).toBe("/v1/messages");
    expect(await endpointOf("gpt-4o")).toBe("/v1/chat/completions");
    const without = await withApis(apis, "/v1/batches", { model: "claude", prompts: ["a"] });
    expect(await errorOf(without)).toMatchObject({ param: "max_tokens" });
    const nobody = await withApis(apis, "/v1/batches", { model: "llama", prompts: ["a"] });
    expect(await errorOf(nobody)).toMatchObject({ code: "model_not_served" });
  });
});

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
    const bodies = ["gpt-4o-mini", "gpt-4o", "o4", "llama"].map((model) => ({ body: { model } }));
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
      store.sql.exec(
        "UPDATE batch SET status = 'validating', in_progress_at = NULL, source_read = 0",
      );
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
      await ingestRange(store, world, row, parseConfig({ UPSTREAMS, UPSTREAM_ALLOW_PRIVATE: "1" }));
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

describe("a batch of several models", () => {
  const request = (model: string) => ({ body: { model, messages: [] } });
  const endpoint = "/v1/chat/completions";

  it("is refused when they count against different quotas, and says which model is apart", async () => {
    const requests = [request("gpt-4o"), request("gpt-4o-mini"), request("o3")];
    const response = await create({ endpoint, requests });
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({
      code: "models_apart",
      param: "requests[2].body.model",
      message: expect.stringContaining("has other limits than 'gpt-4o'"),
    });
  });

  it("is taken when all of them go where the first goes", async () => {
    const response = await create({
      endpoint,
      requests: [request("gpt-4o"), request("gpt-4o-mini")],
    });
    expect(response.status).toBe(202);
  });
});
