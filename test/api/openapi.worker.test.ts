import { env, exports } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { createApp } from "../../src/api/app.ts";
import { readConfig } from "../../src/config.ts";
import {
  bodyOf,
  call,
  chatLine,
  ended,
  FORM_TYPE,
  formBytes,
  open,
  patch,
  post,
  postForm,
  unique,
  upload,
} from "../support/worker/client.ts";
import { ask, BATCHES, create, endOf, opened, request } from "../support/worker/messages.ts";
import { admin, adminPost, newKey, newProject } from "../support/worker/organization.ts";

/** A JSON value as far as this test looks into it. */
type Json = { [member: string]: unknown };
interface Operation {
  operationId: string;
  tags: string[];
  responses: Record<string, { content?: Record<string, { schema: Json }> }>;
}
interface Document {
  openapi: string;
  info: Record<string, unknown>;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Json> };
}

/** Routes for whoever runs a Muster, which are no part of its API. */
const UNDOCUMENTED = /^get (\/openapi\.json|\/|\/page\.[0-9a-f]+\.(js|css))$/;

async function readDocument(): Promise<Document> {
  const response = await call("/openapi.json");
  expect(response.status).toBe(200);
  return response.json();
}

function operations({ paths }: Document): [route: string, operation: Operation][] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, Operation] => [
      `${method} ${path}`,
      operation,
    ]),
  );
}

/**
 * A schema of the document as one that refuses what it does not name, too: an answer with a member
 * that is not documented is found.
 */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([key, member]): [string, unknown] =>
    key === "$ref" && typeof member === "string"
      ? [key, member.replace("#/components/schemas/", "#/$defs/")]
      : [key, closed(member)],
  );
  const schema: Record<string, unknown> = Object.fromEntries(members);
  if ("properties" in schema) schema.additionalProperties ??= false;
  return schema;
}

function validatorOf(document: Document, schema: Json): z.ZodType {
  const $defs = closed(document.components.schemas);
  const whole = { ...(closed(schema) as object), $defs };
  return z.fromJSONSchema(whole as Parameters<typeof z.fromJSONSchema>[0]);
}

describe("/openapi.json", () => {
  it("is OpenAPI 3.1 and is read without a key", async () => {
    const response = await createApp().request("/openapi.json");
    const document: Document = await response.json();
    expect(document.openapi).toMatch(/^3\.1\.\d+$/);
    expect(document.info).toMatchObject({ title: "Muster", license: { name: "MIT" } });
  });

  it("lists every route that the app has, and no other", async () => {
    const document = await readDocument();
    const routes = createApp()
      .routes.filter(({ method }) => method !== "ALL")
      .map(({ method, path }) => `${method.toLowerCase()} ${path.replace(/:(\w+)/g, "{$1}")}`);
    const documented = operations(document).map(([route]) => route);
    expect(documented.toSorted()).toEqual(
      [...new Set(routes)].filter((route) => !UNDOCUMENTED.test(route)).toSorted(),
    );
  });

  it("names each operation once", async () => {
    const ids = operations(await readDocument()).map(([, { operationId }]) => operationId);
    expect(ids.every((id) => /^[a-z][A-Za-z]+$/.test(id))).toBe(true);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

const UPLOAD = { bytes: 3, filename: "a", mime_type: "application/jsonl", purpose: "batch" };

async function newUpload(): Promise<string> {
  const upload: { id: string } = await (await post("/v1/uploads", UPLOAD)).json();
  return upload.id;
}

function sendPart(id: string, name = "data"): Promise<Response> {
  const body = formBytes([{ name, filename: "part", content: "abc" }]);
  const headers = { "content-type": FORM_TYPE };
  return call(`/v1/uploads/${id}/parts`, { method: "POST", body, headers });
}

/** The administrator's routes, likewise. */
const PROJECT = "/v1/organization/projects/{project_id}";
const organization: Record<string, [status: number, send: () => Promise<Response>][]> = {
  "get /v1/organization/projects": [
    [200, () => admin("")],
    [400, () => admin("?limit=0")],
    [401, () => call("/v1/organization/projects")],
  ],
  "post /v1/organization/projects": [
    [200, () => adminPost("", { name: "a" })],
    [400, () => adminPost("", {})],
    [413, () => adminPost("", " ".repeat(70_000))],
  ],
  [`get ${PROJECT}`]: [
    [200, () => admin("/default")],
    [404, () => admin("/none")],
  ],
  [`post ${PROJECT}`]: [
    [200, () => adminPost("/default", { name: "Default" })],
    [400, () => adminPost("/default", { name: 1 })],
    [404, () => adminPost("/none", {})],
  ],
  [`post ${PROJECT}/archive`]: [
    [200, async () => adminPost(`/${(await newProject()).id}/archive`, "")],
    [404, () => adminPost("/none/archive", "")],
  ],
  [`get ${PROJECT}/api_keys`]: [
    [200, () => admin("/default/api_keys")],
    [404, () => admin("/none/api_keys")],
  ],
  [`post ${PROJECT}/api_keys`]: [
    [200, () => adminPost("/default/api_keys", { name: "a", scopes: ["read"] })],
    [400, () => adminPost("/default/api_keys", { name: "a", scopes: ["admin"] })],
    [404, () => adminPost("/none/api_keys", { name: "a" })],
  ],
  [`get ${PROJECT}/api_keys/{key_id}`]: [
    [200, async () => admin(`/default/api_keys/${(await newKey("default")).id}`)],
    [404, () => admin("/default/api_keys/none")],
  ],
  [`post ${PROJECT}/api_keys/{key_id}`]: [
    [200, async () => adminPost(`/default/api_keys/${(await newKey("default")).id}`, {})],
    [404, () => adminPost("/default/api_keys/none", {})],
  ],
  [`post ${PROJECT}/api_keys/{key_id}/rotate`]: [
    [200, async () => adminPost(`/default/api_keys/${(await newKey("default")).id}/rotate`, "")],
    [400, () => adminPost("/default/api_keys/none/rotate", { grace_seconds: -1 })],
    [404, () => adminPost("/default/api_keys/none/rotate", "")],
  ],
  [`delete ${PROJECT}/api_keys/{key_id}`]: [
    [
      200,
      async () => admin(`/default/api_keys/${(await newKey("default")).id}`, { method: "DELETE" }),
    ],
    [404, () => admin("/default/api_keys/none", { method: "DELETE" })],
  ],
};

describe("real responses are as /openapi.json says", () => {
  const missing = "0190b0c0000070008000000000000000";
  let document: Document;
  let batch = "";
  let output = "";
  let failed = "";
  let hooked = "";
  let messages = "";
  const endpoint = {
    name: "n",
    url: "https://example.com/",
    event_types: ["batch.completed"],
  };
  const endpoints = "/v1/webhook_endpoints";
  const newEndpoint = async (url = endpoint.url): Promise<string> => {
    const made: { id: string } = await (await post(endpoints, { ...endpoint, url })).json();
    return made.id;
  };
  const test = (id: string) => post(`${endpoints}/${id}/test`, { event_type: "batch.failed" });

  beforeAll(async () => {
    document = await readDocument();
    const prompts = ["a", "[401]", "[huge]", "b"].map(unique);
    const end = await ended((await open({ model: "m", prompts, metadata: { a: "b" } })).id);
    batch = end.id;
    output = end.output_file_id ?? "";
    const created = await post("/v1/batches", {
      input_file_id: (await upload("{\n")).id,
      endpoint: "/v1/embeddings",
    });
    failed = ((await created.json()) as { id: string }).id;
    await ended(failed);
    // A local server that answers 404 there.
    const webhook = { url: `${readConfig(env).upstreams[0]?.baseUrl}/hook` };
    hooked = (await open({ model: "m", prompts: [unique("a")], webhook })).id;
    await ended(hooked);
    const requests = ["a", "[401]", "[huge]"].map((prompt, n) => request(`${n}`, unique(prompt)));
    messages = (await endOf((await opened(requests)).id)).id;
  });

  /** Requests by route, each with the status it must get. */
  const requests: Record<string, [status: number, send: () => Promise<Response>][]> = {
    "post /v1/batches": [
      [202, () => post("/v1/batches", { model: "m", prompts: [unique("a")] })],
      [
        202,
        () =>
          post("/v1/batches", {
            model: "m",
            prompts: [unique("a")],
            max_concurrency: 3,
            metadata: null,
            // A local server that answers 404 there.
            webhook: { url: `${readConfig(env).upstreams[0]?.baseUrl}/hook` },
          }),
      ],
      [
        200,
        async () => {
          const { id } = await upload(chatLine("a", unique("a")));
          return post("/v1/batches", { input_file_id: id, endpoint: "/v1/chat/completions" });
        },
      ],
      [200, () => post("/v1/batches?dry_run=true", { model: "m", prompts: [unique("a")] })],
      [400, () => post("/v1/batches", "{")],
      [404, () => post("/v1/batches", { input_file_id: "x", endpoint: "/v1/responses" })],
      [413, () => post("/v1/batches", " ".repeat(16 * 1024 * 1024 + 1))],
      [
        429,
        async () => {
          const { id } = await newProject({ muster: { quotas: { open_batches: 0 } } });
          const { value } = await newKey(id);
          return post("/v1/batches", { model: "m", prompts: ["a"] }, value);
        },
      ],
      [
        403,
        async () => {
          const { value } = await newKey("default", { scopes: ["read"] });
          return post("/v1/batches", { model: "m", prompts: ["a"] }, value);
        },
      ],
    ],
    "get /healthz": [[200, () => call("/healthz")]],
    "get /readyz": [[200, () => call("/readyz")]],
    "get /metrics": [
      [200, () => call("/metrics")],
      [401, () => exports.default.fetch("http://muster.test/metrics")],
    ],
    "get /v1/batches": [
      [401, () => call("/v1/batches", {}, "sk-unknown")],
      [200, () => call("/v1/batches?limit=100")],
      [400, () => call("/v1/batches?limit=0")],
    ],
    "get /v1/batches/{id}": [
      [200, () => call(`/v1/batches/${batch}`)],
      [200, () => call(`/v1/batches/${failed}`)],
      [404, () => call(`/v1/batches/batch_${missing}`)],
    ],
    "patch /v1/batches/{id}": [
      [200, () => patch(batch, { metadata: { a: "c" } })],
      [400, () => patch(batch, { max_concurrency: 2 })],
      [404, () => patch(`batch_${missing}`, { metadata: null })],
    ],
    "post /v1/batches/{id}/cancel": [
      [
        200,
        async () => {
          const { id } = await open({ model: "m", prompts: [unique("[hang always]")] });
          return call(`/v1/batches/${id}/cancel`, { method: "POST" });
        },
      ],
      [400, () => call(`/v1/batches/${batch}/cancel`, { method: "POST" })],
      [404, () => call(`/v1/batches/batch_${missing}/cancel`, { method: "POST" })],
    ],
    "post /v1/batches/{id}/pause": [
      [
        200,
        async () => {
          const { id } = await open({ model: "m", prompts: [unique("[hang always]")] });
          return call(`/v1/batches/${id}/pause`, { method: "POST" });
        },
      ],
      [400, () => call(`/v1/batches/${batch}/pause`, { method: "POST" })],
      [404, () => call(`/v1/batches/batch_${missing}/pause`, { method: "POST" })],
    ],
    "post /v1/batches/{id}/resume": [
      [200, () => call(`/v1/batches/${batch}/resume`, { method: "POST" })],
      [404, () => call(`/v1/batches/batch_${missing}/resume`, { method: "POST" })],
    ],
    "post /v1/batches/{id}/retry": [
      [
        200,
        async () => {
          const { id } = await open({ model: "m", prompts: [unique("[400]")] });
          await ended(id);
          return post(`/v1/batches/${id}/retry`, { max_tokens_total: 1_000_000 });
        },
      ],
      [400, () => call(`/v1/batches/${failed}/retry`, { method: "POST" })],
      [404, () => call(`/v1/batches/batch_${missing}/retry`, { method: "POST" })],
    ],
    "get /v1/batches/{id}/tasks": [
      [200, () => call(`/v1/batches/${batch}/tasks`)],
      [400, () => call(`/v1/batches/${batch}/tasks?state=x`)],
      [404, () => call(`/v1/batches/batch_${missing}/tasks`)],
    ],
    "get /v1/upstreams": [[200, () => call("/v1/upstreams")]],
    "get /v1/batches/{id}/timeline": [
      [200, () => call(`/v1/batches/${batch}/timeline`)],
      [400, () => call(`/v1/batches/${batch}/timeline?after=x`)],
      [404, () => call(`/v1/batches/batch_${missing}/timeline`)],
    ],
    "get /v1/batches/{id}/tasks/{custom_id}": [
      [200, () => call(`/v1/batches/${batch}/tasks/task-0`)],
      [200, () => call(`/v1/batches/${batch}/tasks/task-1`)],
      [404, () => call(`/v1/batches/${batch}/tasks/nothing`)],
      [404, () => call(`/v1/batches/batch_${missing}/tasks/task-0`)],
    ],
    "get /v1/batches/{id}/deliveries": [
      [200, () => call(`/v1/batches/${hooked}/deliveries`)],
      [404, () => call(`/v1/batches/batch_${missing}/deliveries`)],
    ],
    "post /v1/batches/{id}/deliveries/{delivery_id}/resend": [
      [
        200,
        async () => {
          const list: { data: { id: string }[] } = await (
            await call(`/v1/batches/${hooked}/deliveries`)
          ).json();
          return call(`/v1/batches/${hooked}/deliveries/${list.data[0]?.id}/resend`, {
            method: "POST",
          });
        },
      ],
      [404, () => call(`/v1/batches/${hooked}/deliveries/none/resend`, { method: "POST" })],
    ],
    "get /v1/batches/{id}/results": [
      [200, () => call(`/v1/batches/${batch}/results`)],
      [200, () => call(`/v1/batches/${batch}/results?limit=2`)],
      [200, () => call(`/v1/batches/${batch}/results?after=task-3&limit=2`)],
      [
        200,
        () => call(`/v1/batches/${batch}/results`, { headers: { accept: "application/jsonl" } }),
      ],
      [400, () => call(`/v1/batches/${batch}/results?after=nothing`)],
      [404, () => call(`/v1/batches/batch_${missing}/results`)],
    ],
    "get /v1/batches/{id}/events": [
      [200, () => call(`/v1/batches/${batch}/events?tasks=result`)],
      [204, () => call(`/v1/batches/${batch}/events`, { headers: { "last-event-id": "5" } })],
      [400, () => call(`/v1/batches/${batch}/events?tasks=some`)],
      [404, () => call(`/v1/batches/batch_${missing}/events`)],
    ],
    "post /v1/messages/batches": [
      [200, () => create([request("a", unique("a"))])],
      [400, () => create("{")],
      [413, () => create(" ".repeat(257 * 1024 * 1024))],
    ],
    "get /v1/messages/batches": [
      [200, () => ask(BATCHES)],
      [400, () => ask(`${BATCHES}?limit=0`)],
      [401, () => ask(BATCHES, {}, "sk-unknown")],
    ],
    "get /v1/messages/batches/{id}": [
      [200, () => ask(`${BATCHES}/${messages}`)],
      [404, () => ask(`${BATCHES}/msgbatch_${missing}`)],
    ],
    "get /v1/messages/batches/{id}/results": [
      [200, () => ask(`${BATCHES}/${messages}/results`)],
      [404, () => ask(`${BATCHES}/msgbatch_${missing}/results`)],
    ],
    "post /v1/messages/batches/{id}/cancel": [
      [
        200,
        async () => {
          const { id } = await opened([request("a", unique("[hang always]"))]);
          return ask(`${BATCHES}/${id}/cancel`, { method: "POST" });
        },
      ],
      [400, () => ask(`${BATCHES}/${messages}/cancel`, { method: "POST" })],
      [404, () => ask(`${BATCHES}/msgbatch_${missing}/cancel`, { method: "POST" })],
    ],
    "delete /v1/messages/batches/{id}": [
      [
        200,
        async () => {
          const { id } = await opened([request("a", unique("a"))]);
          await endOf(id);
          return ask(`${BATCHES}/${id}`, { method: "DELETE" });
        },
      ],
      [
        400,
        async () => {
          const { id } = await opened([request("a", unique("[hang always]"))]);
          return ask(`${BATCHES}/${id}`, { method: "DELETE" });
        },
      ],
      [404, () => ask(`${BATCHES}/msgbatch_${missing}`, { method: "DELETE" })],
    ],
    "post /v1/files": [
      [
        200,
        () =>
          postForm(
            formBytes([
              { name: "purpose", content: "batch" },
              { name: "file", filename: "a.jsonl", content: "{}" },
            ]),
          ),
      ],
      [400, () => postForm("x")],
      [415, () => post("/v1/files", {})],
    ],
    "post /v1/uploads": [
      [200, () => post("/v1/uploads", UPLOAD)],
      [400, () => post("/v1/uploads", {})],
      [413, () => post("/v1/uploads", " ".repeat(70_000))],
    ],
    "post /v1/uploads/{id}/parts": [
      [200, async () => sendPart(await newUpload())],
      [400, async () => sendPart(await newUpload(), "file")],
      [404, () => sendPart(`upload_${missing}`)],
      [415, async () => post(`/v1/uploads/${await newUpload()}/parts`, {})],
    ],
    "post /v1/uploads/{id}/complete": [
      [
        200,
        async () => {
          const id = await newUpload();
          const part: { id: string } = await (await sendPart(id)).json();
          return post(`/v1/uploads/${id}/complete`, { part_ids: [part.id] });
        },
      ],
      [400, async () => post(`/v1/uploads/${await newUpload()}/complete`, { part_ids: ["a"] })],
      [404, () => post(`/v1/uploads/upload_${missing}/complete`, { part_ids: ["a"] })],
      [413, () => post(`/v1/uploads/upload_${missing}/complete`, " ".repeat(70_000))],
    ],
    "post /v1/uploads/{id}/cancel": [
      [200, async () => call(`/v1/uploads/${await newUpload()}/cancel`, { method: "POST" })],
      [404, () => call(`/v1/uploads/upload_${missing}/cancel`, { method: "POST" })],
    ],
    "get /v1/files": [
      [200, () => call("/v1/files")],
      [400, () => call("/v1/files?order=x")],
    ],
    "get /v1/files/{id}": [
      [200, () => call(`/v1/files/${output}`)],
      [404, () => call(`/v1/files/file-${missing}`)],
    ],
    "get /v1/files/{id}/content": [
      [200, () => call(`/v1/files/${output}/content`)],
      [404, () => call(`/v1/files/file-${missing}/content`)],
    ],
    "delete /v1/files/{id}": [
      [200, async () => call(`/v1/files/${(await upload("x")).id}`, { method: "DELETE" })],
      [404, () => call(`/v1/files/file-${missing}`, { method: "DELETE" })],
    ],
    "get /v1/webhook_event_types": [[200, () => call("/v1/webhook_event_types")]],
    "post /v1/webhook_endpoints": [
      [200, () => post(endpoints, endpoint)],
      [400, () => post(endpoints, { ...endpoint, url: "x" })],
      [413, () => post(endpoints, " ".repeat(64 * 1024 + 1))],
    ],
    "get /v1/webhook_endpoints": [
      [200, () => call(endpoints)],
      [400, () => call(`${endpoints}?after=x`)],
    ],
    "get /v1/webhook_endpoints/{id}": [
      [200, async () => call(`${endpoints}/${await newEndpoint()}`)],
      [404, () => call(`${endpoints}/whe_${missing}`)],
    ],
    "post /v1/webhook_endpoints/{id}": [
      [200, async () => post(`${endpoints}/${await newEndpoint()}`, { name: "other" })],
      [
        200,
        async () => post(`${endpoints}/${await newEndpoint()}`, { muster: { enabled: false } }),
      ],
      [400, async () => post(`${endpoints}/${await newEndpoint()}`, { event_types: [] })],
      [404, () => post(`${endpoints}/whe_${missing}`, {})],
    ],
    "delete /v1/webhook_endpoints/{id}": [
      [200, async () => call(`${endpoints}/${await newEndpoint()}`, { method: "DELETE" })],
      [404, () => call(`${endpoints}/whe_${missing}`, { method: "DELETE" })],
    ],
    "post /v1/webhook_endpoints/{id}/rotate_secret": [
      [200, async () => post(`${endpoints}/${await newEndpoint()}/rotate_secret`, "")],
      [404, () => post(`${endpoints}/whe_${missing}/rotate_secret`, "")],
    ],
    "post /v1/webhook_endpoints/{id}/test": [
      [200, async () => test(await newEndpoint(`${readConfig(env).upstreams[0]?.baseUrl}/hook`))],
      // A port where nobody listens.
      [400, async () => test(await newEndpoint("http://127.0.0.1:1/"))],
      [404, () => test(`whe_${missing}`)],
    ],
    "get /v1/webhook_endpoints/{id}/attempts": [
      [
        200,
        async () => {
          const id = await newEndpoint(`${readConfig(env).upstreams[0]?.baseUrl}/hook`);
          await test(id);
          return call(`${endpoints}/${id}/attempts`);
        },
      ],
      [404, () => call(`${endpoints}/whe_${missing}/attempts`)],
    ],
    ...organization,
  };

  it.each(Object.keys(requests))("%s", async (route) => {
    const [, operation] =
      operations(document).find(([documented]) => documented === route) ?? expect.fail(route);
    for (const [status, send] of requests[route] ?? []) {
      const response = await send();
      const { text } = await bodyOf(response);
      expect({ status: response.status, text }).toMatchObject({ status });
      const type = response.headers.get("content-type")?.split(";")[0] ?? "";
      const documented = operation.responses[status];
      // Documented, and without a body.
      if (documented !== undefined && documented.content === undefined && text === "") continue;
      const content = documented?.content?.[type];
      if (content === undefined) expect.fail(`${status} ${type} is not documented`);
      const answer: unknown = type === "application/json" ? JSON.parse(text) : text;
      const checked = validatorOf(document, content.schema).safeParse(answer);
      expect(checked.error?.issues ?? []).toEqual([]);
    }
  });

  it("and every documented success was among them", () => {
    const sent = Object.entries(requests).flatMap(([route, all]) =>
      all.map(([status]) => `${status} ${route}`),
    );
    for (const [route, { responses }] of operations(document)) {
      for (const status of Object.keys(responses).filter((code) => code.startsWith("2"))) {
        expect(sent).toContain(`${status} ${route}`);
      }
    }
  });

  it("refuses an answer with a member too many, so the checks above can fail", async () => {
    const schema = document.paths["/v1/batches/{id}"]?.get?.responses["200"]?.content;
    const validator = validatorOf(document, schema?.["application/json"]?.schema ?? expect.fail());
    const real: object = await (await call(`/v1/batches/${batch}`)).json();
    expect(validator.safeParse(real).success).toBe(true);
    expect(validator.safeParse({ ...real, extra: 1 }).success).toBe(false);
    expect(validator.safeParse({ ...real, status: "done" }).success).toBe(false);
    expect(validator.safeParse({ ...real, usage: {} }).success).toBe(false);
  });
});
