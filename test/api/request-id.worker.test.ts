import { exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { call, ended, open, post, unique, upload } from "../support/worker/client.ts";

describe("x-request-id", () => {
  it("is on every response, and another one each time", async () => {
    const file = await upload(unique("content"));
    const { id, output_file_id } = await ended(
      (await open({ model: "m", prompts: [unique("a")] })).id,
    );
    const unauthorized = exports.default.fetch("http://muster.test/v1/batches");
    const responses = await Promise.all([
      call("/healthz"),
      call("/openapi.json"),
      call("/nowhere"),
      call("/v1/nowhere"),
      unauthorized,
      post("/v1/batches", { model: "m", prompts: [unique("b")] }),
      post("/v1/batches", "{"),
      call("/v1/batches"),
      call("/v1/batches?limit=0"),
      call(`/v1/batches/${id}`),
      call("/v1/batches/x"),
      call(`/v1/batches/${id}/cancel`, { method: "POST" }),
      call(`/v1/batches/${id}/results`),
      call(`/v1/batches/${id}/results?limit=1`),
      call(`/v1/batches/${id}/results`, { headers: { accept: "application/jsonl" } }),
      call("/v1/files"),
      call(`/v1/files/${file.id}`),
      call(`/v1/files/${file.id}/content`),
      call(`/v1/files/${output_file_id}/content`),
      call(`/v1/files/${file.id}`, { method: "DELETE" }),
      call("/v1/files", { method: "POST", body: "" }),
    ]);
    const ids = responses.map((response) => response.headers.get("x-request-id"));
    for (const requestId of ids) expect(requestId).toMatch(/^req_[0-9a-f]{32}$/);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("/healthz", () => {
  it("answers without a key", async () => {
    const response = await exports.default.fetch("http://muster.test/healthz");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: "ok" });
  });
});
