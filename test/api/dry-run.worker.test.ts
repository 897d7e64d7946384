import { env } from "cloudflare:workers";
import { describe, expect, inject, it, vi } from "vitest";
import { limiterStub } from "../../src/stubs.ts";
import type { BatchCheck } from "../../src/wire/check.ts";
import { call, chatLine, ended, errorOf, post, unique, upload } from "../support/worker/client.ts";

const DRY = "/v1/batches?dry_run=true";

async function check(body: unknown): Promise<BatchCheck> {
  const response = await post(DRY, body);
  expect(response.status).toBe(200);
  return response.json();
}

const count = async (): Promise<number> => {
  const list: { data: unknown[] } = await (await call("/v1/batches?limit=100")).json();
  return list.data.length;
};

describe("POST /v1/batches?dry_run=true", () => {
  it("estimates a good batch of prompts, opens nothing and calls nothing", async () => {
    const before = await count();
    const prompts = [unique("never called"), unique("空はなぜ青い？")];
    const found = await check({ model: "m", prompts, max_tokens: 100 });
    expect(found).toMatchObject({
      object: "batch.check",
      valid: true,
      endpoint: "/v1/chat/completions",
      tasks: 2,
      models: [{ model: "m", tasks: 2 }],
      errors: { data: [], total: 0 },
      estimate: {
        output_tokens_at_most: 200,
        output_tokens_assumed: 200,
        bound_by: "calls in flight",
      },
    });
    expect(found.estimate.input_tokens).toBeGreaterThan(10);
    expect(found.estimate.finish_seconds).toBeGreaterThan(0);
    expect(await count()).toBe(before);
    const stats = await (
      await fetch(`${inject("upstreamUrl").replace(/\/v1$/, "")}/_sim/stats`)
    ).text();
    expect(stats).not.toContain("never called");
  });

  it("counts equal requests once where the batch would call them once", async () => {
    const prompts = ["a", "b", "a", "a"];
    const body = { model: "priced-1", prompts, max_tokens: 100 };
    const each = await check(body);
    const once = await check({ ...body, dedupe: true });
    expect([each.tasks, once.tasks]).toEqual([4, 4]);
    expect([each.estimate.calls, once.estimate.calls]).toEqual([4, 2]);
    expect(once.estimate.input_tokens * 2).toBe(each.estimate.input_tokens);
    expect(once.estimate.cost_at_most).toBe((each.estimate.cost_at_most ?? 0) / 2);
  });

  it("names every line of a file that is wrong, and counts those that are right", async () => {
    const good = chatLine("a", unique("good"));
    const lines = [
      good,
      "{",
      good,
      "",
      chatLine("b", "x").replace("chat/completions", "embeddings"),
      chatLine("c", "y"),
    ];
    const { id } = await upload(`${lines.map((line) => line.trimEnd()).join("\n")}\n`);
    const endpoint = "/v1/chat/completions";
    const found = await check({ input_file_id: id, endpoint });
    expect(found).toMatchObject({ valid: false, tasks: 2, errors: { total: 3 } });
    expect(found.errors.data.map(({ line, code }) => [line, code])).toEqual([
      [2, "invalid_json_line"],
      [3, "duplicate_custom_id"],
      [5, "invalid_url"],
    ]);
    expect(found.estimate.output_tokens_at_most).toBeNull();
    expect(found.estimate.output_tokens_assumed).toBe(600);
    // The file is as it was.
    expect((await call(`/v1/files/${id}`)).status).toBe(200);
  });

  it("names all requests that are wrong, where opening names the first", async () => {
    const requests = [
      { custom_id: "a", body: { model: "m", messages: [], stream: true } },
      { custom_id: "b", body: { model: "m", messages: [] } },
      { custom_id: "b", body: { model: "m", messages: [] } },
    ];
    const found = await check({ endpoint: "/v1/chat/completions", requests });
    expect(found.valid).toBe(false);
    expect(found.errors.data.map(({ param }) => param)).toEqual([
      "requests[0].body.stream",
      "requests[2].custom_id",
    ]);
  });

  it("names what has not even the shape of a request, each by its own place", async () => {
    const body = { model: "m", messages: [] };
    const requests = [{ body: [] }, { body: { ...body, model: "nobody's" } }, 5, { body }];
    const found = await check({ endpoint: "/v1/responses", requests, max_cost: 1 });
    expect(found).toMatchObject({ valid: false, tasks: 0, errors: { total: 4 } });
    expect(found.errors.data.map(({ param }) => param)).toEqual([
      "requests[0].body",
      "requests[1].body.model",
      "requests[2]",
      "requests[3].body.model",
    ]);
    const prompts = await check({ model: "m", prompts: ["a", 1, "b", {}] });
    expect(prompts).toMatchObject({ valid: false, tasks: 2 });
    expect(prompts.errors.data.map(({ param }) => param)).toEqual(["prompts[1]", "prompts[3]"]);
  });

  it("names a model that all prompts share once", async () => {
    const found = await check({ model: "m", prompts: ["a", "b", "c"], max_cost: 1 });
    expect(found).toMatchObject({ valid: false, tasks: 0, errors: { total: 1 } });
    expect(found.errors.data).toMatchObject([{ code: "model_not_priced", param: "model" }]);
  });

  it("refuses wrong settings as opening does", async () => {
    const response = await post(DRY, { model: "m", prompts: ["a"], max_concurrency: 0 });
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ param: "max_concurrency" });
    expect((await post("/v1/batches?dry_run=perhaps", { model: "m", prompts: ["a"] })).status).toBe(
      400,
    );
    const endpoint = "/v1/responses";
    expect((await post(DRY, { input_file_id: "none", endpoint })).status).toBe(404);
  });

  it("keeps nothing for its Idempotency-Key, which the batch itself may have", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const headers = { "idempotency-key": crypto.randomUUID() };
    const body = JSON.stringify({ model: "m", prompts: [unique("one key")] });
    for (const [path, status] of [
      [DRY, 200],
      ["/v1/batches", 202],
    ] as const) {
      const response = await call(path, { method: "POST", headers, body });
      expect(response.status).toBe(status);
      expect(response.headers.get("idempotency-replayed")).toBeNull();
    }
    expect(logged.mock.calls.flat().join()).not.toContain("Idempotency-Key");
    logged.mockRestore();
  });

  it.each([
    ["blank lines", "\n\r\n  \n"],
    ["nothing", ""],
  ])("finds a file of %s wrong, in the words of a batch that failed of it", async (_, content) => {
    const { id } = await upload(content);
    const asked = { input_file_id: id, endpoint: "/v1/responses" };
    const found = await check(asked);
    expect(found).toMatchObject({ valid: false, tasks: 0, errors: { total: 1 } });
    const opened: { id: string } = await (await post("/v1/batches", asked)).json();
    const { status, errors } = await ended(opened.id);
    expect(status).toBe("failed");
    expect(found.errors.data).toEqual(errors?.data);
  });

  it.each([
    [{ url: "ftp://x y" }, "webhook.url"],
    [{ url: "https://hooks.example", secret: "nope" }, "webhook.secret"],
  ])("refuses the webhook %o as opening does", async (webhook, param) => {
    const body = { model: "m", prompts: ["a"], webhook };
    const refusals = [await post(DRY, body), await post("/v1/batches", body)];
    expect(refusals.map(({ status }) => status)).toEqual([400, 400]);
    const [dry, real] = await Promise.all(refusals.map(errorOf));
    expect(dry).toMatchObject({ param });
    expect(dry).toEqual(real);
  });

  it("reckons with the batch's own max_concurrency", async () => {
    const body = { model: "m", prompts: Array.from({ length: 20 }, String), max_tokens: 10 };
    // A call with an answer of ten tokens is taken to last 650 ms, and fifty may be in flight.
    expect((await check(body)).estimate.finish_seconds).toBe(0.7);
    const held = await check({ ...body, max_concurrency: 2 });
    expect(held.estimate).toMatchObject({ finish_seconds: 6.5, bound_by: "calls in flight" });
  });

  it("reckons with limits that were learned, as with those that are configured", async () => {
    const body = { model: "m", prompts: Array.from({ length: 121 }, String), max_tokens: 10 };
    const before = await check(body);
    expect(before.estimate.bound_by).toBe("calls in flight");
    const requests = { limit: 60, remaining: 60, resetMs: 0 };
    await limiterStub(env, "default").acquire({
      quota: "default",
      ref: { project: "default", batch_id: "batch_that_hears" },
      held: 0,
      weight: 10,
      costs: [],
      ready: 0,
      served: true,
      extraTokens: 0,
      answered: true,
      told: { limits: { requests }, tookMs: 5 },
    });
    const after = await check(body);
    expect(after.estimate.bound_by).toBe("requests");
    // One a second, but for the first: a hundredth of the rate is left for what arrives early.
    expect(after.estimate.finish_seconds).toBeGreaterThan(120);
    expect(after.estimate.finish_seconds).toBeLessThan(125);
  });
});
