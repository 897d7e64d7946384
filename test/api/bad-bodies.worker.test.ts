import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { batchStub } from "../../src/stubs.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import {
  call,
  chatLine,
  ended,
  errorOf,
  outputLines,
  post,
  unique,
  upload,
} from "../support/worker/client.ts";

/** Bodies that break careless readers, at the doors where tasks come in: inline, and in a file. */

const CHAT = "/v1/chat/completions";
const DEPTH = 100_000;
const DEEP = "[".repeat(DEPTH) + "]".repeat(DEPTH);
const encoder = new TextEncoder();

/** The bodies of a batch's tasks as they are kept, and sent to the upstream. */
function bodiesOf(batch_id: string): Promise<string[]> {
  const stub = batchStub(env, { project: "default", batch_id });
  return runInDurableObject(stub, (_, { storage }) =>
    storage.sql
      .exec<{ body: string }>("SELECT body FROM input ORDER BY seq")
      .toArray()
      .map(({ body }) => body),
  );
}

/** Opens a batch that must be accepted. */
async function opened(body: string): Promise<string> {
  const response = await post("/v1/batches", body);
  expect(response.status).toBe(202);
  const { id }: BatchObject = await response.json();
  return id;
}

async function fromFile(content: string | Uint8Array): Promise<BatchObject> {
  const { id } = await upload(content);
  const response = await post("/v1/batches", { input_file_id: id, endpoint: CHAT });
  expect(response.status).toBe(200);
  const batch: BatchObject = await response.json();
  return ended(batch.id);
}

const requests = (...bodies: string[]) =>
  `{"endpoint":"${CHAT}","requests":[${bodies.map((body) => `{"body":${body}}`).join(",")}]}`;

describe("a body that is refused, by its code and field", () => {
  it.each<
    [why: string, body: string | Uint8Array<ArrayBuffer>, code: string | null, param: string | null]
  >([
    ["brackets 100,000 deep", DEEP, null, null],
    ["brackets that never close", "[".repeat(DEPTH), "invalid_json", null],
    ["objects that never close", '{"a":'.repeat(DEPTH), "invalid_json", null],
    ["a deep prompt", `{"model":"m","prompts":[${DEEP}]}`, "invalid_prompt", "prompts[0]"],
    ["deep metadata", `{"model":"m","prompts":["a"],"metadata":{"a":${DEEP}}}`, null, "metadata.a"],
    [
      "a deep unknown member",
      `{"input_file_id":"f","endpoint":"${CHAT}","x":${DEEP}}`,
      "unknown_parameter",
      "x",
    ],
    [
      "UTF-8 that is none",
      new Uint8Array([...encoder.encode('{"a":"'), 0xc3, 0x28]),
      "invalid_body",
      null,
    ],
    ["UTF-16", new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0]), "invalid_body", null],
    ["a NUL in a string", '{"model":"m","prompts":["a\u0000b"]}', "invalid_json", null],
    ["a NUL behind the end", '{"model":"m","prompts":["a"]}\u0000', "invalid_json", null],
    ["a BOM in the middle", '{"model":"m",\ufeff"prompts":["a"]}', "invalid_json", null],
    ["U+2028 between members", '{"model":"m",\u2028"prompts":["a"]}', "invalid_json", null],
    [
      "the kind of body by __proto__",
      '{"model":"m","__proto__":{"prompts":["a"]}}',
      null,
      "prompts",
    ],
    [
      "a required member by __proto__",
      '{"prompts":["a"],"__proto__":{"model":"m"}}',
      "missing_required_parameter",
      "model",
    ],
    [
      "a duplicate key whose last is wrong",
      '{"model":"m","prompts":["a"],"prompts":[1]}',
      "invalid_prompt",
      "prompts[0]",
    ],
    [
      "a million prompts that are none",
      `{"model":"m","prompts":[${"0,".repeat(1_000_000)}0]}`,
      "invalid_prompt",
      "prompts[0]",
    ],
    [
      "half a million pairs of metadata that are none",
      `{"model":"m","prompts":["a"],"metadata":{${Array.from({ length: 500_000 }, (_, i) => `"${i}":0`).join(",")}}}`,
      null,
      "metadata.0",
    ],
  ])("%s", async (_, body, code, param) => {
    const response = await call("/v1/batches", { method: "POST", body });
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    expect(error).toMatchObject({ code, param });
    expect(error.message.length).toBeLessThan(1_000);
  });
});

describe("a body that is taken", () => {
  it.each<[why: string, body: string]>([
    ["a number past 2^53", '{"model":"m","seed":12345678901234567890,"top_p":1.0}'],
    ["a number past a double", '{"model":"m","a":1e999,"b":-0,"c":0.1000000000000000055511151231}'],
    ["duplicate keys", '{"model":"m","user":"a","user":"b"}'],
    ["__proto__", '{"model":"m","__proto__":{"a":1},"constructor":null}'],
    ["an escaped NUL", '{"model":"m","user":"a\\u0000b"}'],
    ["half a character, escaped", '{"model":"m","user":"\\ud800"}'],
    ["U+2028 and U+2029", '{"model":"m","user":"a\u2028b\u2029c"}'],
    ["brackets 100,000 deep", `{"model":"m","metadata":${DEEP}}`],
    ["brackets 100,000 deep for a prompt", `{"model":"m","messages":${DEEP}}`],
  ])("is kept as it was written: %s", async (_, body) => {
    const id = await opened(requests(body));
    expect(await bodiesOf(id)).toEqual([body]);
    expect((await ended(id)).request_counts.total).toBe(1);
  });

  it("with a BOM, CRLF and the last of duplicate keys", async () => {
    const prompt = unique("last");
    const text = `\ufeff{\r\n"model":"m","prompts":[1],"prompts":[${JSON.stringify(prompt)}]\r\n}\r\n`;
    const id = await opened(text);
    expect((await bodiesOf(id))[0]).toContain(prompt);
    expect((await ended(id)).request_counts).toMatchObject({ total: 1, completed: 1 });
  });

  it("with metadata that is called as JavaScript's own things are, but for __proto__", async () => {
    const metadata = { constructor: "b", toString: "c" };
    const body = { model: "m", prompts: [unique("a")], metadata };
    const made: BatchObject = await (await post("/v1/batches", body)).json();
    const read: BatchObject = await (await call(`/v1/batches/${made.id}`)).json();
    expect(read.metadata).toEqual(metadata);
    const proto = '{"metadata":{"__proto__":"a"}';
    for (const [path, method, rest] of [
      ["/v1/batches", "POST", ',"model":"m","prompts":["a"]}'],
      [`/v1/batches/${made.id}`, "PATCH", "}"],
    ] as const) {
      const refused = await call(path, { method, body: `${proto}${rest}` });
      expect(refused.status).toBe(400);
      expect((await errorOf(refused)).param).toBe("metadata.__proto__");
    }
  });
});

describe("custom_ids that look alike", () => {
  // é as one character and as two, a full-width a, white space at the end, another case.
  const ids = [
    "caf\u00e9",
    "cafe\u0301",
    "a",
    "\uff41",
    "a ",
    "A",
    "a\u0000",
    "\u200ba",
    "__proto__",
  ];

  it("are each a task of their own, inline", async () => {
    const sent = ids.map((custom_id) => ({
      custom_id,
      body: { model: "m", messages: [{ role: "user", content: unique("a") }] },
    }));
    const response = await post("/v1/batches", { endpoint: CHAT, requests: sent });
    expect(response.status).toBe(202);
    const { id }: BatchObject = await response.json();
    await ended(id);
    expect((await outputLines(id)).map(({ custom_id }) => custom_id)).toEqual(ids);
  });

  it("are each a task of their own, in a file", async () => {
    const batch = await fromFile(ids.map((id) => chatLine(id, unique(id))).join("\n"));
    expect(batch).toMatchObject({ status: "completed", request_counts: { total: ids.length } });
    expect((await outputLines(batch.id)).map(({ custom_id }) => custom_id)).toEqual(ids);
  });
});

describe("a file", () => {
  const good = () => chatLine("a", unique("a"));
  const line = (body: string) => `{"custom_id":"b","method":"POST","url":"${CHAT}","body":${body}}`;

  it.each<[why: string, content: () => string | Uint8Array, code: string, at: number]>([
    ["of one endless line", () => new Uint8Array(12_000_000).fill(0x61), "too_long", 1],
    [
      "of a good line and an endless one",
      () => `${good()}\n${"[".repeat(12_000_000)}`,
      "too_long",
      2,
    ],
    [
      "with a line that nests and never closes",
      () => `${good()}\n${"[".repeat(DEPTH)}`,
      "invalid_json_line",
      2,
    ],
    ["with a line of brackets 100,000 deep", () => `${good()}\n${DEEP}`, "invalid_json_line", 2],
    ["with a deep custom_id", () => `${good()}\n{"custom_id":${DEEP}}`, "invalid_custom_id", 2],
    ["with a NUL in a line", () => `${good()}\n\u0000\n`, "invalid_json_line", 2],
    [
      "with a body by __proto__",
      () => `${good()}\n{"custom_id":"b","method":"POST","url":"${CHAT}","__proto__":{"body":{}}}`,
      "missing_required_parameter",
      2,
    ],
    ["that ends its lines with U+2028", () => `${good()}\u2028${good()}`, "invalid_json_line", 1],
    ["with a BOM on a later line", () => `${good()}\n\ufeff${line("{}")}`, "invalid_json_line", 2],
    [
      "of a million blank lines and a wrong one",
      () => `${"\n".repeat(1_000_000)}{`,
      "invalid_json_line",
      1_000_001,
    ],
  ])("%s fails by code and line", async (_, content, code, at) => {
    const batch = await fromFile(content());
    expect(batch.status).toBe("failed");
    expect(batch.errors?.data).toEqual([
      expect.objectContaining({ code, line: at, message: expect.stringMatching(/^.{1,1000}$/s) }),
    ]);
  });

  it("of a million tiny lines that are none fails with the first hundred", async () => {
    const batch = await fromFile("0\n".repeat(1_000_000));
    expect(batch.status).toBe("failed");
    expect(batch.errors?.data.map(({ line }) => line)).toEqual(
      Array.from({ length: 100 }, (_, index) => index + 1),
    );
  });

  it("keeps a line's body as it was written", async () => {
    const body = `{"model":"m","seed":12345678901234567890,"user":"a\u2028b","user":"\\u0000","__proto__":1}`;
    const batch = await fromFile(`\ufeff${line(body)}\r\n`);
    expect(batch).toMatchObject({ status: "completed", request_counts: { total: 1 } });
    expect(await bodiesOf(batch.id)).toEqual([body]);
  });
});
