import { env } from "cloudflare:workers";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import type { FileObject } from "../../src/wire/file.ts";
import {
  call,
  chatLine,
  DEFAULT_KEY,
  ended,
  errorOf,
  FORM_TYPE,
  formBytes,
  outputLines,
  unique,
} from "../support/worker/client.ts";
import { request } from "../support/worker/messages.ts";

const MIB = 1024 * 1024;

function send(
  path: string,
  body: BodyInit,
  headers: Record<string, string> = {},
): Promise<Response> {
  const all = { "content-encoding": "gzip", ...headers };
  return call(path, { method: "POST", body, headers: all });
}

const prompts = () => JSON.stringify({ model: "m", prompts: [unique("a"), unique("b")] });

function form(content: string | Uint8Array): Uint8Array {
  return formBytes([
    { name: "purpose", content: "batch" },
    { name: "file", filename: "in.jsonl", content },
  ]);
}

async function keys(): Promise<string[]> {
  return (await env.FILES.list()).objects.map(({ key }) => key);
}

describe("a body compressed with gzip", () => {
  it.each([
    ["gzip", (text: string) => gzipSync(text)],
    ["GZIP", (text: string) => gzipSync(text)],
    ["x-gzip", (text: string) => gzipSync(text)],
    [
      "gzip",
      (text: string) => Buffer.concat([gzipSync(text.slice(0, 9)), gzipSync(text.slice(9))]),
    ],
  ])("opens a batch: %s", async (encoding, zip) => {
    const text = prompts();
    const response = await send("/v1/batches", zip(text), { "content-encoding": encoding });
    expect(response.status).toBe(202);
    const batch: BatchObject = await response.json();
    // What was sent is what was in it.
    const sha256 = createHash("sha256").update(text).digest("hex");
    expect(batch.muster.audit.input_sha256).toBe(sha256);
    expect((await ended(batch.id)).request_counts).toMatchObject({ total: 2, completed: 2 });
  });

  it("is one request with the same body uncompressed, to an Idempotency-Key", async () => {
    const text = prompts();
    const headers = { "idempotency-key": unique("key") };
    const first = await send("/v1/batches", gzipSync(text), headers);
    const second = await send("/v1/batches", text, { ...headers, "content-encoding": "identity" });
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(await second.text()).toBe(await first.text());
  });

  it("uploads a file", async () => {
    const content = `${chatLine("a", unique("a"))}\n`;
    const response = await send("/v1/files", gzipSync(form(content)), {
      "content-type": FORM_TYPE,
    });
    expect(response.status).toBe(200);
    const file: FileObject = await response.json();
    expect(file.bytes).toBe(content.length);
    const read = await call(`/v1/files/${file.id}/content`);
    expect(new TextDecoder().decode(await read.arrayBuffer())).toBe(content);
  });

  it("opens a batch of messages", async () => {
    const text = JSON.stringify({ requests: [request("a", unique("a"))] });
    const response = await send("/v1/messages/batches", gzipSync(text));
    expect(response.status).toBe(200);
    const { id }: { id: string } = await response.json();
    expect((await outputLines((await ended(id.replace("msgbatch", "batch"))).id)).length).toBe(1);
  });

  it("is passed on, as it was before, by a single call", async () => {
    const body = { model: "m", messages: [{ role: "user", content: unique("one") }] };
    const response = await send("/v1/chat/completions", gzipSync(JSON.stringify(body)));
    expect(await response.json()).toMatchObject({ object: "chat.completion" });
  });
});

describe("a body in another encoding", () => {
  it.each(["br", "deflate", "gzip, gzip", "zstd", "gzipped", "*"])(
    "is a 415 that says what is taken: %s",
    async (encoding) => {
      for (const path of ["/v1/batches", "/v1/files", "/v1/uploads", "/v1/chat/completions"]) {
        const response = await send(path, prompts(), { "content-encoding": encoding });
        expect(response.status).toBe(415);
        expect(response.headers.get("accept-encoding")).toBe("gzip");
        const error = await errorOf(response);
        expect(error).toMatchObject({
          code: "unsupported_media_type",
          param: "Content-Encoding",
          message: expect.stringContaining(`takes gzip, or is left out; it is '${encoding}'`),
        });
      }
    },
  );

  it("is refused to whoever has a key only", async () => {
    const headers = { "content-encoding": "br" };
    const response = await call("/v1/batches", { method: "POST", body: "x", headers }, "sk-no");
    expect(response.status).toBe(401);
    expect(DEFAULT_KEY).not.toBe("sk-no");
  });
});

describe("a body that is no gzip", () => {
  const whole = gzipSync(JSON.stringify({ model: "m", prompts: ["a"] }));
  const wrongSum = new Uint8Array(whole);
  wrongSum[whole.length - 5] = (wrongSum.at(-5) ?? 0) ^ 1;
  it.each<[why: string, body: Uint8Array | string]>([
    ["is JSON", '{"model":"m","prompts":["a"]}'],
    ["is cut", whole.subarray(0, -9)],
    ["is cut in its header", whole.subarray(0, 5)],
    ["has a wrong sum", wrongSum],
  ])("is a 400 at every door when it %s", async (_, body) => {
    const before = await keys();
    for (const [path, type] of [
      ["/v1/batches", "application/json"],
      ["/v1/uploads", "application/json"],
      ["/v1/chat/completions", "application/json"],
      ["/v1/files", FORM_TYPE],
    ] as const) {
      const response = await send(path, body, { "content-type": type });
      expect(response.status).toBe(400);
      const error = await errorOf(response);
      expect(error.code).toBe("invalid_body");
      expect(error.message).toMatch(/broke off or is not valid gzip/);
    }
    const atMessages = await send("/v1/messages/batches", body);
    expect(atMessages.status).toBe(400);
    expect(await atMessages.json()).toMatchObject({
      type: "error",
      error: { type: "invalid_request_error", message: expect.stringContaining("gzip") },
    });
    expect(await keys()).toEqual(before);
  });
});

describe("a bomb", () => {
  const bomb = gzipSync(new Uint8Array(100 * MIB));
  it.each([
    ["/v1/batches", "application/json", bomb],
    ["/v1/messages/batches", "application/json", bomb],
    ["/v1/chat/completions", "application/json", bomb],
    ["/v1/uploads", "application/json", bomb],
    ["/v1/files", FORM_TYPE, gzipSync(form(new Uint8Array(100 * MIB)))],
  ])("is a 413 at %s and leaves nothing behind", async (path, type, body) => {
    const before = await keys();
    for (const headers of [{}, { "idempotency-key": unique("bomb") }]) {
      const response = await send(path, body, { "content-type": type, ...headers });
      expect(response.status).toBe(413);
      expect(await response.text()).toMatch(/longer than \d+ bytes|200 times its length/);
    }
    expect(await keys()).toEqual(before);
  });

  it("of sixteen megabytes of empty prompts is refused before they are read", async () => {
    const body = gzipSync(`{"model":"m","prompts":[${'"",'.repeat(5_300_000)}""]}`);
    expect(body.length).toBeLessThan(20_000);
    const response = await send("/v1/batches", body);
    expect(response.status).toBe(413);
    expect((await errorOf(response)).message).toContain("200 times its length");
  });
});

describe("an honest body that repeats itself", () => {
  it("is taken, though only the custom_ids of its lines differ", async () => {
    const prompt = Array.from({ length: 60 }, () => unique("words")).join(" ");
    const lines = Array.from({ length: 2_000 }, (_, index) => chatLine(`task-${index}`, prompt));
    const content = lines.join("\n");
    const zipped = gzipSync(form(content));
    expect(content.length / zipped.length).toBeGreaterThan(100);
    const response = await send("/v1/files", zipped, { "content-type": FORM_TYPE });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ bytes: content.length });
  });
});
