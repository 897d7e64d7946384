import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Contract, contractOf } from "../support/contract.ts";
import { ajvSchemas } from "../support/contract-node.ts";

/** That the judge of all other conformance tests does judge. */

const json = (schema: object) => ({ "application/json": { schema } });
const thing = {
  type: "object",
  properties: { id: { type: "string" }, at: { type: "string", format: "date-time" } },
  required: ["id"],
};
const document = {
  openapi: "3.1.0",
  paths: {
    "/v1/things/{id}": {
      get: {
        responses: {
          200: { description: "", content: json({ $ref: "#/components/schemas/Thing" }) },
          404: { description: "", content: json({ $ref: "#/components/schemas/Error" }) },
        },
      },
    },
    "/v1/things/all": {
      get: {
        responses: {
          200: {
            description: "",
            headers: { Link: { required: true, schema: { type: "string" } } },
            content: {
              "application/jsonl": {
                schema: {
                  type: "string",
                  contentSchema: { type: "array", items: { $ref: "#/components/schemas/Thing" } },
                },
              },
            },
          },
          204: { description: "" },
        },
      },
    },
  },
  components: {
    schemas: {
      Thing: thing,
      Error: {
        type: "object",
        properties: { error: { type: "object", properties: { message: { type: "string" } } } },
        required: ["error"],
      },
    },
  },
};

interface Answer {
  status?: number;
  type?: string;
  body?: string;
  headers?: Record<string, string>;
  /** Without x-request-id. */
  anonymous?: boolean;
}

let server: Server;
let url: string;
let answer: Answer = {};

beforeAll(async () => {
  server = createServer((_, response) => {
    const { status = 200, type = "application/json", body = "", headers = {} } = answer;
    if (!answer.anonymous) response.setHeader("x-request-id", "req_1");
    response.writeHead(status, { "content-type": type, ...headers });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

async function faultsOf(path: string, given: Answer, method = "GET"): Promise<string[]> {
  const contract: Contract = contractOf(document, ajvSchemas(document), () => url);
  answer = given;
  await (await contract.fetch(`${url}${path}`, { method })).text();
  return contract.faults();
}

const error = JSON.stringify({ error: { message: "no" } });

describe("a response as documented", () => {
  it.each<[string, string, Answer]>([
    ["a body of its schema", "/v1/things/a", { body: '{"id":"a","at":"2026-11-22T10:00:00Z"}' }],
    ["an error in the shape", "/v1/things/a", { status: 404, body: error }],
    [
      "lines, and the header that goes with them",
      "/v1/things/all",
      { type: "application/jsonl", body: '{"id":"a"}\n{"id":"b"}\n', headers: { link: "x" } },
    ],
    ["no body where none is documented", "/v1/things/all", { status: 204 }],
    ["the 404 of a route that is not documented", "/v1/other", { status: 404, body: error }],
  ])("has no fault: %s", async (_, path, given) => {
    expect(await faultsOf(path, given)).toEqual([]);
  });
});

describe("a response that is not as documented has a fault", () => {
  it.each<[string, string, Answer, RegExp]>([
    ["a status", "/v1/things/a", { status: 201, body: '{"id":"a"}' }, /status/],
    ["a type", "/v1/things/a", { type: "text/plain", body: "a" }, /undocumented type/],
    ["no JSON", "/v1/things/a", { body: "<html>" }, /is not JSON: <html>/],
    ["a member missing", "/v1/things/a", { body: "{}" }, /required.*id/],
    ["a member too many", "/v1/things/a", { body: '{"id":"a","b":1}' }, /additional/],
    ["a member of another type", "/v1/things/a", { body: '{"id":1}' }, /\/id must be string/],
    ["a format", "/v1/things/a", { body: '{"id":"a","at":"now"}' }, /\/at.*format/],
    ["an error of another shape", "/v1/things/a", { status: 404, body: '{"no":1}' }, /required/],
    [
      "a line",
      "/v1/things/all",
      { type: "application/jsonl", body: '{"id":"a"}\n{}\n', headers: { link: "x" } },
      /^.* \/1 .*required/,
    ],
    [
      "a header missing",
      "/v1/things/all",
      { type: "application/jsonl", body: "" },
      /no header Link/,
    ],
    ["a body where none is documented", "/v1/things/all", { status: 200, body: "{}" }, /type/],
    ["a route", "/v1/other", { body: "{}" }, /route that is not documented/],
    ["a 404 of another shape on it", "/v1/other", { status: 404, body: "{}" }, /error shape/],
  ])("%s", async (_, path, given, fault) => {
    expect(await faultsOf(path, given)).toEqual(
      expect.arrayContaining([expect.stringMatching(fault)]),
    );
  });

  it("a method", async () => {
    const faults = await faultsOf("/v1/things/a", { body: '{"id":"a"}' }, "PUT");
    expect(faults).toEqual([expect.stringMatching(/^PUT .* not documented$/)]);
  });

  it("a response without x-request-id", async () => {
    const faults = await faultsOf("/v1/things/a", { body: '{"id":"a"}', anonymous: true });
    expect(faults).toEqual([expect.stringContaining("x-request-id")]);
  });
});
