import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { readConfig } from "../../src/config.ts";
import type { BatchError, BatchObject } from "../../src/wire/batch.ts";
import {
  bodyOf,
  call,
  chatLine,
  ended,
  outputLines,
  post,
  results,
  unique,
  upload,
} from "../support/worker/client.ts";

async function create(content: string | Uint8Array): Promise<BatchObject> {
  const { id } = await upload(content);
  const endpoint = "/v1/chat/completions";
  const response = await post("/v1/batches", { input_file_id: id, endpoint });
  expect(response.status).toBe(200);
  return response.json();
}

/** The validation errors of a file that must have some. */
async function errorsOf(content: string | Uint8Array): Promise<BatchError[]> {
  const batch = await ended((await create(content)).id);
  expect(batch.status).toBe("failed");
  expect(batch.errors?.object).toBe("list");
  return batch.errors?.data ?? [];
}

/** Asks the simulator itself; a "[500 first]" prompt is answered 500 when it was never called. */
async function statusOfDirectCall(prompt: string): Promise<number> {
  const response = await fetch(`${readConfig(env).upstreams[0]?.baseUrl}/chat/completions`, {
    method: "POST",
    body: JSON.stringify({ model: "m", messages: [{ role: "user", content: prompt }] }),
  });
  await response.text();
  return response.status;
}

const good = (id: string) => chatLine(id, unique(id));

describe("a file of which every line has a long URL", () => {
  it("fails, and tells of each in a few words", async () => {
    const line = (id: number) =>
      `{"custom_id":"t${id}","method":"POST","url":"/${"u".repeat(1_000_000)}","body":{}}`;
    const errors = await errorsOf([1, 2, 3, 4].map(line).join("\n"));
    expect(errors).toHaveLength(4);
    for (const { code, message } of errors) {
      expect(code).toBe("invalid_url");
      expect(message.length).toBeLessThan(300);
    }
  });
});

describe("a file with a wrong line", () => {
  it.each<[why: string, line: string, error: Partial<BatchError>]>([
    ["is not JSON", '{"custom_id":', { code: "invalid_json_line", param: null }],
    ["is JSON with a comma too many", `${good("x").slice(0, -1)},}`, { code: "invalid_json_line" }],
    ["is two objects", `${good("x")}${good("y")}`, { code: "invalid_json_line" }],
    ["is a list", "[]", { code: "invalid_json_line", param: null }],
    ["is null", "null", { code: "invalid_json_line" }],
    ["is a number", "1", { code: "invalid_json_line" }],
    [
      "has no custom_id",
      '{"method":"POST","url":"/v1/chat/completions","body":{}}',
      { code: "missing_required_parameter", param: "custom_id" },
    ],
    [
      "has an empty custom_id",
      '{"custom_id":"","method":"POST","url":"/v1/chat/completions","body":{}}',
      { code: "invalid_custom_id", param: "custom_id" },
    ],
    [
      "has a number for a custom_id",
      '{"custom_id":1,"method":"POST","url":"/v1/chat/completions","body":{}}',
      { code: "invalid_custom_id", param: "custom_id" },
    ],
    [
      "has half a character in its custom_id",
      '{"custom_id":"\\ud800","method":"POST","url":"/v1/chat/completions","body":{}}',
      { code: "invalid_custom_id", param: "custom_id" },
    ],
    [
      "has another method",
      '{"custom_id":"x","method":"GET","url":"/v1/chat/completions","body":{}}',
      { code: "invalid_method", param: "method" },
    ],
    [
      "has another url than the batch's endpoint",
      '{"custom_id":"x","method":"POST","url":"/v1/embeddings","body":{}}',
      { code: "invalid_url", param: "url" },
    ],
    [
      "has a whole URL",
      '{"custom_id":"x","method":"POST","url":"https://example.com/v1/chat/completions","body":{}}',
      { code: "invalid_url", param: "url" },
    ],
    [
      "has no url",
      '{"custom_id":"x","method":"POST","body":{}}',
      { code: "missing_required_parameter", param: "url" },
    ],
    [
      "has no body",
      '{"custom_id":"x","method":"POST","url":"/v1/chat/completions"}',
      { code: "missing_required_parameter", param: "body" },
    ],
    [
      "has a text for a body",
      '{"custom_id":"x","method":"POST","url":"/v1/chat/completions","body":"{}"}',
      { code: "invalid_body", param: "body" },
    ],
    [
      "asks for a stream",
      '{"custom_id":"x","method":"POST","url":"/v1/chat/completions","body":{"stream":true}}',
      { code: "invalid_body", param: "body.stream" },
    ],
    [
      "has the custom_id of an earlier one",
      good("a"),
      { code: "duplicate_custom_id", param: "custom_id" },
    ],
    [
      "is longer than a task may be",
      chatLine("x", "x".repeat(1_900_001)),
      { code: "body_too_large", param: "body" },
    ],
    ["is longer than any line", `"${"x".repeat(2_100_000)}"`, { code: "too_long", param: null }],
  ])("fails with the line's number when it %s", async (_, line, error) => {
    const errors = await errorsOf(`${good("a")}\n${good("b")}\n${line}\n${good("c")}\n`);
    expect(errors).toEqual([
      {
        line: 3,
        param: expect.toSatisfy(() => true),
        message: expect.stringMatching(/\S/),
        ...error,
      },
    ]);
  });

  it("is named by its number with blank lines counted, whatever ends the lines", async () => {
    const lines = ["", good("a"), "   ", "\t", "{", "", good("b"), "nope"];
    for (const end of ["\n", "\r\n"]) {
      const errors = await errorsOf(lines.join(end));
      expect(errors.map(({ line }) => line)).toEqual([5, 8]);
    }
  });

  it("is named when its bytes are no UTF-8", async () => {
    const encoder = new TextEncoder();
    const [before, after] = [`${good("a")}\n{"custom_id":"`, `"}\n${good("b")}\n`];
    const bytes = new Uint8Array([
      ...encoder.encode(before),
      ...[0xc3, 0x28],
      ...encoder.encode(after),
    ]);
    expect(await errorsOf(bytes)).toEqual([
      { code: "invalid_utf8", message: expect.stringContaining("UTF-8"), param: null, line: 2 },
    ]);
  });

  it("tells every wrong line up to a hundred, in order", async () => {
    const few = await errorsOf(["{", good("a"), "[", good("a"), "}"].join("\n"));
    expect(few.map(({ line, code }) => [line, code])).toEqual([
      [1, "invalid_json_line"],
      [3, "invalid_json_line"],
      [4, "duplicate_custom_id"],
      [5, "invalid_json_line"],
    ]);
    const many = await errorsOf("{\n".repeat(250));
    expect(many.map(({ line }) => line)).toEqual(Array.from({ length: 100 }, (_, n) => n + 1));
  });

  it("is found behind the first range that is read, with its number in the whole file", async () => {
    const padding = "x".repeat(100_000);
    const lines = Array.from({ length: 60 }, (_, n) => chatLine(`a${n}`, unique(padding)));
    lines[55] = "{";
    lines.push(good("a1"));
    const errors = await errorsOf(lines.join("\n"));
    expect(errors.map(({ line, code }) => [line, code])).toEqual([
      [56, "invalid_json_line"],
      [61, "duplicate_custom_id"],
    ]);
  });

  it("calls nothing upstream, and leaves no task and no file", async () => {
    const prompt = unique("[500 first]");
    const { id } = await create(`${chatLine("a", prompt)}\n{\n`);
    const batch = await ended(id);
    expect(batch).toMatchObject({
      status: "failed",
      failed_at: expect.any(Number),
      in_progress_at: null,
      completed_at: null,
      output_file_id: null,
      error_file_id: null,
      request_counts: { total: 0, completed: 0, failed: 0 },
      usage: { total_tokens: 0 },
    });
    expect(await results(id)).toMatchObject({ total: 0, success: [], errors: [] });
    expect(await statusOfDirectCall(prompt)).toBe(500);
    const cancel = await call(`/v1/batches/${id}/cancel`, { method: "POST" });
    expect(cancel.status).toBe(400);
  });
});

describe("a file without lines", () => {
  it.each([
    ["is empty", ""],
    ["has only blank lines", "\n\r\n  \n\n"],
    ["has only a byte order mark", "\ufeff"],
  ])("fails as empty_file when it %s", async (_, content) => {
    expect(await errorsOf(content)).toEqual([
      {
        code: "empty_file",
        message: expect.stringMatching(/\S/),
        param: "input_file_id",
        line: null,
      },
    ]);
  });
});

describe("a file is good", () => {
  it.each([
    ["with a byte order mark", (a: string, b: string) => `\ufeff${a}\n${b}\n`],
    ["with CRLF", (a: string, b: string) => `${a}\r\n${b}\r\n`],
    ["without an end to its last line", (a: string, b: string) => `${a}\n${b}`],
    ["with blank lines", (a: string, b: string) => `\n\n${a}\n \t\n${b}\n\n`],
    ["with space around its lines", (a: string, b: string) => `  ${a}\t\n ${b} `],
  ])("%s", async (_, write) => {
    const content = write(good("a"), good("b"));
    const end = await ended((await create(content)).id);
    expect(end).toMatchObject({ status: "completed", request_counts: { total: 2, completed: 2 } });
    const lines = await outputLines(end.id);
    expect(lines.map(({ custom_id }) => custom_id)).toEqual(["a", "b"]);
  });

  it("of several ranges, each task once and in order", async () => {
    const padding = "y".repeat(60_000);
    const names = Array.from({ length: 160 }, (_, n) => `line ${n}`);
    const { id } = await create(names.map((name) => chatLine(name, unique(padding))).join("\n"));
    const end = await ended(id);
    expect(end.request_counts).toEqual({ total: 160, completed: 160, failed: 0 });
    const { text } = await bodyOf(await call(`/v1/files/${end.output_file_id}/content`));
    const ids = text.split("\n").filter(Boolean);
    expect(ids.map((line) => (JSON.parse(line) as { custom_id: string }).custom_id)).toEqual(names);
  });
});
