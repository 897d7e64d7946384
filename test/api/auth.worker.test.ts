import { exports } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import {
  call,
  chatLine,
  DEFAULT_KEY,
  ended,
  errorOf,
  OTHER_KEY,
  open,
  post,
  unique,
  upload,
} from "../support/worker/client.ts";

const ID = "0190b0c0000070008000000000000000";

/** A request with exactly these headers. */
function bare(path: string, headers: Record<string, string>, method = "GET"): Promise<Response> {
  return exports.default.fetch(new Request(`http://muster.test${path}`, { method, headers }));
}

describe("a request without a known key", () => {
  const routes: [method: string, path: string][] = [
    ["POST", "/v1/batches"],
    ["GET", "/v1/batches"],
    ["GET", `/v1/batches/batch_${ID}`],
    ["POST", `/v1/batches/batch_${ID}/cancel`],
    ["GET", `/v1/batches/batch_${ID}/results`],
    ["POST", "/v1/files"],
    ["GET", "/v1/files"],
    ["GET", `/v1/files/file-${ID}`],
    ["GET", `/v1/files/file-${ID}/content`],
    ["DELETE", `/v1/files/file-${ID}`],
    ["GET", "/v1/nothing"],
  ];

  it.each(routes)("is 401 in OpenAI's shape on %s %s", async (method, path) => {
    const response = await bare(path, {}, method);
    expect(response.status).toBe(401);
    expect(await response.json()).toEqual({
      error: {
        message: expect.stringContaining("Authorization: Bearer"),
        type: "invalid_request_error",
        param: null,
        code: "invalid_api_key",
      },
    });
  });

  it.each([
    ["an unknown key", "Bearer sk-test-defaulu"],
    ["the beginning of a key", `Bearer ${DEFAULT_KEY.slice(0, -1)}`],
    ["a key with more behind it", `Bearer ${DEFAULT_KEY}x`],
    ["two keys", `Bearer ${DEFAULT_KEY} ${OTHER_KEY}`],
    ["a project for a key", "Bearer default"],
    ["a pair of the setting", `Bearer default:${DEFAULT_KEY}`],
    ["Basic", `Basic ${btoa(`default:${DEFAULT_KEY}`)}`],
    ["a key alone", DEFAULT_KEY],
    ["no key after Bearer", "Bearer "],
    ["nothing", ""],
  ])("is 401 with %s", async (_, authorization) => {
    const response = await bare("/v1/batches", { authorization });
    expect(response.status).toBe(401);
    expect((await errorOf(response)).code).toBe("invalid_api_key");
  });

  it("is 401 with the key in the query or in another header", async () => {
    expect((await bare(`/v1/batches?api_key=${DEFAULT_KEY}`, {})).status).toBe(401);
    expect((await bare("/v1/batches", { "x-api-key": DEFAULT_KEY })).status).toBe(401);
  });

  it("never repeats the key it was sent", async () => {
    const response = await bare("/v1/batches", { authorization: "Bearer sk-somebody-elses" });
    expect(await response.text()).not.toContain("somebody");
  });
});

describe("a known key", () => {
  it.each(["Bearer", "bearer", "BEARER"])("opens its project after %s", async (scheme) => {
    const authorization = `${scheme} ${DEFAULT_KEY}`;
    expect((await bare("/v1/batches", { authorization })).status).toBe(200);
  });
});

describe("another project's id", () => {
  let batch = "";
  let output = "";
  let input = "";

  beforeAll(async () => {
    const ref = await ended((await open({ model: "m", prompts: [unique("mine")] })).id);
    batch = ref.id;
    output = ref.output_file_id ?? "";
    expect(output).toMatch(/^file-.*-output$/);
    input = (await upload(chatLine("a", unique("mine")))).id;
  });

  /** Everything of an answer that a client can tell, with the id taken out. */
  async function told(response: Response, id: string) {
    const headers = [...response.headers].filter(([name]) => name !== "x-request-id");
    const body = (await response.text()).replaceAll(id, "<id>");
    return { status: response.status, headers, body };
  }

  const requests: Record<string, (id: string) => Promise<Response>> = {
    "GET /v1/batches/{id}": (id) => call(`/v1/batches/${id}`, {}, OTHER_KEY),
    "POST /v1/batches/{id}/cancel": (id) =>
      call(`/v1/batches/${id}/cancel`, { method: "POST" }, OTHER_KEY),
    "GET /v1/batches/{id}/results": (id) => call(`/v1/batches/${id}/results`, {}, OTHER_KEY),
    "GET /v1/batches/{id}/results?after=task-0": (id) =>
      call(`/v1/batches/${id}/results?after=task-0&limit=1`, {}, OTHER_KEY),
    "GET /v1/batches/{id}/results as JSONL": (id) =>
      call(`/v1/batches/${id}/results`, { headers: { accept: "application/jsonl" } }, OTHER_KEY),
    "GET /v1/batches?after={id}": (id) => call(`/v1/batches?after=${id}`, {}, OTHER_KEY),
  };
  const fileRequests: Record<string, (id: string) => Promise<Response>> = {
    "GET /v1/files/{id}": (id) => call(`/v1/files/${id}`, {}, OTHER_KEY),
    "GET /v1/files/{id}/content": (id) => call(`/v1/files/${id}/content`, {}, OTHER_KEY),
    "DELETE /v1/files/{id}": (id) => call(`/v1/files/${id}`, { method: "DELETE" }, OTHER_KEY),
    "GET /v1/files?after={id}": (id) => call(`/v1/files?after=${id}`, {}, OTHER_KEY),
    "POST /v1/batches {input_file_id}": (id) =>
      post("/v1/batches", { input_file_id: id, endpoint: "/v1/chat/completions" }, OTHER_KEY),
  };

  it.each(Object.keys(requests))("is the same as no id: %s", async (route) => {
    const request = requests[route] ?? expect.fail();
    const foreign = await told(await request(batch), batch);
    const nobodys = await told(await request(`batch_${ID}`), `batch_${ID}`);
    expect(foreign).toEqual(nobodys);
    expect([400, 404]).toContain(foreign.status);
  });

  it.each(Object.keys(fileRequests))("is the same as no id: %s", async (route) => {
    const request = fileRequests[route] ?? expect.fail();
    for (const [foreign, nobodys] of [
      [input, `file-${ID}`],
      [output, `file-${ID}-output`],
    ] as const) {
      const seen = await told(await request(foreign), foreign);
      expect(seen).toEqual(await told(await request(nobodys), nobodys));
      expect([400, 404]).toContain(seen.status);
    }
  });

  it("is in none of the other's lists", async () => {
    const batches = await (await call("/v1/batches?limit=100", {}, OTHER_KEY)).text();
    const files = await (await call("/v1/files", {}, OTHER_KEY)).text();
    expect(batches).not.toContain(batch);
    expect(files).not.toContain(input);
    expect(files).not.toContain(output);
  });

  it("is untouched by what the other tried", async () => {
    expect((await call(`/v1/batches/${batch}`)).status).toBe(200);
    for (const file of [input, output]) {
      expect((await call(`/v1/files/${file}/content`)).status).toBe(200);
    }
  });
});
