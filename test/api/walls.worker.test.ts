import { env } from "cloudflare:test";
import { beforeAll, describe, expect, it } from "vitest";
import { readConfig } from "../../src/config.ts";
import {
  call,
  chatLine,
  DEFAULT_KEY,
  ended,
  FORM_TYPE,
  formBytes,
  OTHER_KEY,
  open,
  post,
  unique,
  upload,
} from "../support/worker/client.ts";
import { endOf, opened, request } from "../support/worker/messages.ts";

/**
 * Projects are walls: whoever names another project's things reads what he would read if there were
 * none of that name. The requests are made from /openapi.json: a route, a parameter or a member that
 * this test does not know of fails it.
 */

interface Schema {
  $ref?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
}
interface Operation {
  operationId: string;
  security?: object[];
  parameters?: { name: string; in: string }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

const NOBODYS = "0190b0c0000070008000000000000000";
/** Whose key a request carries; and whose things it names. */
const HERS = OTHER_KEY;
const THEIRS = DEFAULT_KEY;

/** What stands behind a path up to `/{id}`: the other project's, each beside one that nobody has. */
let things: Record<string, [theirs: string, nobodys: string][]> = {};
/** Further parameters of a path. They name something that is there, if the first one does. */
let further: Record<string, string> = {};
let part = "";

/** Query parameters that name things, by the list they are parameters of. */
const CURSORS: Record<string, string> = {
  "/v1/batches after": "/v1/batches",
  "/v1/files after": "/v1/files",
  "/v1/webhook_endpoints after": "/v1/webhook_endpoints",
  "/v1/messages/batches after_id": "/v1/messages/batches",
  "/v1/messages/batches before_id": "/v1/messages/batches",
};
/** Those that name nothing, or something within what the path names. */
const HARMLESS = new Set(
  "limit order purpose status search state step_ms tasks dry_run".split(" "),
);
/** Members of bodies that name things: each has a test below. `custom_id` is the client's own. */
const NAMING = ["input_file_id", "part_ids"];

/** Bodies without which a route does not look for what it is asked about. */
const BODIES: Record<string, unknown> = {
  completeUpload: { part_ids: ["part_1"] },
  testWebhookEndpoint: { event_type: "batch.completed" },
  createUploadPart: formBytes([{ name: "data", filename: "part", content: "abc" }]),
};

const document: Document = await (await call("/openapi.json")).json();
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);
const ofProjects = operations.filter(({ path }) => !path.startsWith("/v1/organization/"));
const named = ofProjects.filter(({ path }) => path.includes("{"));

/** What a path's first parameter names. */
const kindOf = (path: string) => path.slice(0, path.indexOf("/{"));

function send(method: string, path: string, body?: unknown, key = HERS): Promise<Response> {
  const form = body instanceof Uint8Array;
  return call(
    path,
    {
      method: method.toUpperCase(),
      ...(form ? { headers: { "content-type": FORM_TYPE } } : {}),
      ...(body === undefined ? {} : { body: form ? (body as never) : JSON.stringify(body) }),
    },
    key,
  );
}

/** Everything of an answer that its client can tell, with the id it sent taken out. */
async function told(response: Response, id: string) {
  const headers = [...response.headers].filter(([name]) => !/^(x-)?request-id$/.test(name));
  const requestId = response.headers.get("x-request-id") ?? expect.fail("no x-request-id");
  // A batch of messages is told of under either of its names.
  const echo = id.replace(/^msgbatch_/, "batch_");
  const text = (await response.text()).replaceAll(id, "<id>").replaceAll(echo, "<id>");
  const body = text.replaceAll(requestId, "<request>");
  return { status: response.status, headers, body };
}

/** Sends the same request about their thing and about nobody's: one cannot be told from the other. */
async function expectSame(
  request: (id: string) => Promise<Response>,
  [theirs, nobodys]: [string, string],
) {
  const seen = await told(await request(theirs), theirs);
  expect(seen).toEqual(await told(await request(nobodys), nobodys));
  return seen.status;
}

beforeAll(async () => {
  const webhook = { url: `${readConfig(env).upstreams[0]?.baseUrl}/hook` };
  const batch = await ended((await open({ model: "m", prompts: [unique("mine")], webhook })).id);
  const output = batch.output_file_id ?? expect.fail("no output file");
  const input = (await upload(chatLine("a", unique("mine")))).id;
  const messages = (await endOf((await opened([request("a", unique("mine"))])).id)).id;
  const upload_: { id: string } = await (
    await post("/v1/uploads", {
      bytes: 3,
      filename: "a",
      mime_type: "application/jsonl",
      purpose: "batch",
    })
  ).json();
  const added = await send(
    "post",
    `/v1/uploads/${upload_.id}/parts`,
    BODIES.createUploadPart,
    THEIRS,
  );
  part = ((await added.json()) as { id: string }).id;
  const endpoint: { id: string } = await (
    await post("/v1/webhook_endpoints", {
      name: "mine",
      url: "https://example.com/",
      event_types: ["batch.completed"],
    })
  ).json();
  const deliveries: { data: { id: string }[] } = await (
    await call(`/v1/batches/${batch.id}/deliveries`)
  ).json();
  things = {
    "/v1/batches": [
      [batch.id, `batch_${NOBODYS}`],
      [messages.replace("msgbatch", "batch"), `batch_${NOBODYS}`],
    ],
    "/v1/files": [
      [input, `file-${NOBODYS}`],
      [output, `file-${NOBODYS}-output`],
    ],
    "/v1/uploads": [[upload_.id, `upload_${NOBODYS}`]],
    "/v1/webhook_endpoints": [[endpoint.id, `whe_${NOBODYS}`]],
    "/v1/messages/batches": [[messages, `msgbatch_${NOBODYS}`]],
  };
  further = {
    custom_id: "task-0",
    delivery_id: deliveries.data[0]?.id ?? expect.fail("no delivery"),
  };
});

describe("another project's id is the same as no id", () => {
  it.each(named)("$method $path", async ({ path, method, operation }) => {
    const pairs = things[kindOf(path)] ?? expect.fail(`Whose are the ids of ${path}?`);
    for (const pair of pairs) {
      const status = await expectSame((id) => {
        const [first, ...rest] = path.match(/\{\w+\}/g) ?? [];
        let to = path.replace(first ?? "", id);
        for (const name of rest) {
          to = to.replace(name, further[name.slice(1, -1)] ?? expect.fail(`What is ${name}?`));
        }
        return send(method, to, BODIES[operation.operationId]);
      }, pair);
      expect(status).toBe(404);
    }
  });

  it.each(Object.keys(CURSORS))("in a list: %s", async (where) => {
    const [path, name] = where.split(" ");
    const pairs = things[CURSORS[where] ?? ""] ?? expect.fail(where);
    for (const pair of pairs) {
      const status = await expectSame((id) => send("get", `${path}?${name}=${id}`), pair);
      expect([400, 404]).toContain(status);
    }
  });

  it("as input_file_id", async () => {
    for (const pair of things["/v1/files"] ?? []) {
      const status = await expectSame(
        (id) =>
          send("post", "/v1/batches", { input_file_id: id, endpoint: "/v1/chat/completions" }),
        pair,
      );
      expect(status).toBe(404);
    }
  });

  it("as one of part_ids", async () => {
    const body = { bytes: 3, filename: "a", mime_type: "application/jsonl", purpose: "batch" };
    const own: { id: string } = await (await send("post", "/v1/uploads", body)).json();
    const complete = (id: string) =>
      send("post", `/v1/uploads/${own.id}/complete`, { part_ids: [id] });
    expect(await expectSame(complete, [part, `part_${NOBODYS}`])).toBe(400);
  });

  it("in no list and in no number of the other's", async () => {
    const theirs = [part, ...Object.values(things).flatMap((pairs) => pairs.map(([id]) => id))];
    const lists = ofProjects.filter(({ path, method }) => method === "get" && !path.includes("{"));
    for (const { path } of lists) {
      if (path === "/healthz" || path === "/readyz") continue;
      const text = await (await send("get", `${path}?limit=100`)).text();
      for (const id of theirs) expect(text).not.toContain(id);
    }
  });
});

describe("nothing is forgotten here", () => {
  it("neither a route behind which things of a project are", () => {
    expect(named.length).toBeGreaterThan(20);
    expect([...new Set(named.map(({ path }) => kindOf(path)))].toSorted()).toEqual(
      Object.keys(things).toSorted(),
    );
  });

  it("nor a query parameter that names one", () => {
    const unknown = ofProjects.flatMap(({ path, operation }) =>
      (operation.parameters ?? [])
        .filter(({ name, in: where }) => where === "query" && !HARMLESS.has(name))
        // Behind what a path names, a place is one within it.
        .filter(({ name }) => !(path.includes("{") && name === "after"))
        .map(({ name }) => `${path} ${name}`),
    );
    expect(unknown.toSorted()).toEqual(Object.keys(CURSORS).toSorted());
  });

  it("nor a member of a body that names one", () => {
    const members = new Set<string>();
    const seen = new Set<Schema>();
    const look = (schema: Schema | undefined): void => {
      if (schema === undefined || seen.has(schema)) return;
      seen.add(schema);
      const { $ref, properties = {}, items, anyOf = [], oneOf = [] } = schema;
      if ($ref) look(document.components.schemas[$ref.split("/").at(-1) ?? ""]);
      for (const [name, member] of Object.entries(properties)) {
        if (/_ids?$/.test(name) && name !== "custom_id") members.add(name);
        look(member);
      }
      for (const further of [items, ...anyOf, ...oneOf]) look(further);
    };
    for (const { operation } of ofProjects) {
      for (const { schema } of Object.values(operation.requestBody?.content ?? {})) look(schema);
    }
    expect([...members].toSorted()).toEqual(NAMING.toSorted());
  });

  it("and what the other tried left everything as it was", async () => {
    for (const [kind, pairs] of Object.entries(things)) {
      for (const [theirs] of pairs) {
        if (kind === "/v1/uploads") continue;
        expect((await send("get", `${kind}/${theirs}`, undefined, THEIRS)).status).toBe(200);
      }
    }
    const [[pending] = [""]] = things["/v1/uploads"] ?? [];
    const done = await send(
      "post",
      `/v1/uploads/${pending}/complete`,
      { part_ids: [part] },
      THEIRS,
    );
    expect(done.status).toBe(200);
  });
});
