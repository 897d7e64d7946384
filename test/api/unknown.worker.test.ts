import { describe, expect, it } from "vitest";
import { call, open, unique } from "../support/worker/client.ts";

const HEX = "0190b0c0000070008000000000000000";

describe("a route that there is not", () => {
  it.each([
    ["GET", "/v1"],
    ["GET", "/v1/"],
    ["GET", "/v1/nothing"],
    ["GET", "/v1/batches/"],
    ["GET", "/v2/batches"],
    ["GET", `/v1/batches/batch_${HEX}/output`],
  ])("is a 404 in OpenAI's shape that names it: %s %s", async (method, path) => {
    const response = await call(path, { method });
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({
      error: {
        message: expect.stringContaining(`${method} ${path}`),
        type: "invalid_request_error",
        param: null,
        code: "not_found",
      },
    });
  });
});

describe("a method that a route does not take", () => {
  it.each([
    ["POST", "/healthz", "GET, HEAD"],
    ["PUT", "/v1/batches", "POST, GET, HEAD"],
    ["OPTIONS", "/v1/batches", "POST, GET, HEAD"],
    ["GET", `/v1/batches/batch_${HEX}/cancel`, "POST"],
    ["POST", `/v1/batches/batch_${HEX}/results`, "GET, HEAD"],
    ["POST", `/v1/files/file-${HEX}`, "GET, HEAD, DELETE"],
    ["GET", `/v1/uploads/upload_${HEX}/parts`, "POST"],
  ])("is a 405 in OpenAI's shape that says which it takes: %s %s", async (method, path, takes) => {
    const response = await call(path, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe(takes);
    expect(await response.json()).toEqual({
      error: {
        message: `Not allowed to ${method} on ${path}; it takes ${takes}.`,
        type: "invalid_request_error",
        param: null,
        code: "method_not_allowed",
      },
    });
  });

  it("is a 401 without a key", async () => {
    expect((await call("/v1/batches", { method: "PUT" }, "sk-nobody")).status).toBe(401);
  });
});

describe("a refusal of what is long", () => {
  const long = "x".repeat(4_000);
  it.each<[string, string, unknown?]>([
    ["GET", `/v1/${long}`],
    ["PUT", `/v1/batches/${long}`],
    ["GET", `/v1/batches/${long}`],
    ["GET", `/v1/batches?after=${long}`],
    ["GET", `/v1/files/${long}`],
    ["GET", `/v1/files?after=${long}`],
    ["GET", `/v1/messages/batches/${long}`],
    ["GET", `/v1/messages/batches?after_id=${long}`],
    ["GET", `/v1/webhook_endpoints/${long}`],
    ["GET", `/v1/webhook_endpoints?after=${long}`],
    ["POST", `/v1/uploads/${long}/cancel`],
    ["POST", "/v1/batches", { model: "m", prompts: ["a"], metadata: { [long]: 1 } }],
    ["POST", "/v1/batches", { input_file_id: long, endpoint: "/v1/embeddings" }],
    [
      "POST",
      "/v1/uploads",
      { [long]: 1, bytes: 1, filename: "a", mime_type: "b", purpose: "batch" },
    ],
    ["POST", "/v1/messages/batches", { requests: [{ custom_id: "a", params: {}, [long]: 1 }] }],
    ["POST", "/v1/webhook_endpoints", { name: "a", url: "https://a.example", event_types: [long] }],
  ])("repeats its beginning (%#)", async (method, path, body) => {
    const response = await call(path, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
    expect((await response.text()).length).toBeLessThan(1_000);
  });

  it("names no event type that is a list in a list, thirty thousand deep", async () => {
    const type = `${"[".repeat(30_000)}${"]".repeat(30_000)}`;
    const body = `{"name":"a","url":"https://a.example","event_types":[${type}]}`;
    expect((await call("/v1/webhook_endpoints", { method: "POST", body })).status).toBe(400);
  });
});

describe("an id that names nothing", () => {
  const ids = [
    "x",
    "null",
    "__proto__",
    "batch_",
    "file-",
    HEX,
    `batch_${HEX}`,
    `file-${HEX}`,
    `file-${HEX}-output`,
    `batch_${HEX}0`,
    `batch_${HEX.toUpperCase()}x`,
    `default%2Fbatch_${HEX}`,
    "%00",
    "%0d%0aset-cookie:%20a=b",
    "%2e%2e%2fv1",
    "'%20OR%201=1--",
    "%F0%9F%99%82",
    "%E0%A4%A",
    "%ff",
    "a".repeat(4_000),
  ];
  const routes: [method: string, before: string, after: string][] = [
    ["GET", "/v1/batches/", ""],
    ["POST", "/v1/batches/", "/cancel"],
    ["GET", "/v1/batches/", "/results"],
    ["GET", "/v1/files/", ""],
    ["GET", "/v1/files/", "/content"],
    ["DELETE", "/v1/files/", ""],
    ["POST", "/v1/uploads/", "/cancel"],
    ["POST", "/v1/uploads/", "/parts"],
  ];
  it.each(routes)("is a 404 in OpenAI's shape: %s %s{id}%s", async (method, before, after) => {
    for (const id of ids) {
      const response = await call(`${before}${id}${after}`, { method });
      const body = await response.text();
      expect({ id, status: response.status, body }).toMatchObject({ status: 404 });
      expect(JSON.parse(body)).toEqual({
        error: {
          message: expect.stringMatching(/^No (batch|file|upload) with id '/),
          type: "invalid_request_error",
          param: "id",
          code: "not_found",
        },
      });
    }
  });
});

describe("a wrong query is a 400 that names the parameter", () => {
  it.each([
    ["limit", "/v1/batches?limit=0"],
    ["limit", "/v1/batches?limit=101"],
    ["limit", "/v1/batches?limit=-1"],
    ["limit", "/v1/batches?limit=1.5"],
    ["limit", "/v1/batches?limit=ten"],
    ["limit", "/v1/batches?limit="],
    ["limit", "/v1/batches?limit=1&limit=2"],
    ["after", `/v1/batches?after=batch_${HEX}`],
    ["after", "/v1/batches?after="],
    ["after", "/v1/batches?after=%00"],
    ["limit", "/v1/files?limit=0"],
    ["limit", "/v1/files?limit=10001"],
    ["limit", "/v1/files?limit=all"],
    ["after", `/v1/files?after=file-${HEX}`],
    ["after", "/v1/files?after="],
    ["order", "/v1/files?order=up"],
    ["purpose", "/v1/files?purpose=anything"],
  ])("%s: %s", async (param, path) => {
    const response = await call(path);
    expect(response.status).toBe(400);
    const { error }: { error: { message: string; type: string; param: string } } =
      await response.json();
    expect(error).toMatchObject({ type: "invalid_request_error", param });
    expect(error.message).toMatch(/\S/);
  });

  it.each([
    ["limit", "limit=0"],
    ["limit", "limit=10001"],
    ["limit", "limit=x"],
    ["after", "after=task-1"],
    ["after", "after="],
    ["after", "after=task-1&limit=1"],
  ])("%s: /v1/batches/{id}/results?%s", async (param, query) => {
    const { id } = await open({ model: "m", prompts: [unique("one")] });
    for (const accept of ["application/json", "application/jsonl"]) {
      const response = await call(`/v1/batches/${id}/results?${query}`, { headers: { accept } });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { param } });
    }
  });
});
