import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { EXIT, Exit } from "../../../src/cli/muster/exit.ts";
import { type Format, type RequestOptions, readLines } from "../../../src/cli/muster/input.ts";
import { temporaryDir } from "../support.ts";

const OPTIONS: RequestOptions = {
  endpoint: "/v1/chat/completions",
  model: "m",
  system: undefined,
  template: undefined,
  members: new Map(),
};

/** The request lines of a file with this content. */
async function read(
  content: string | Uint8Array,
  format: Format | undefined,
  options: Partial<RequestOptions> = {},
) {
  const path = join(temporaryDir(), "in");
  writeFileSync(path, content);
  const lines: { text: string; from: number }[] = [];
  for await (const line of readLines(path, format, { ...OPTIONS, ...options })) lines.push(line);
  return lines.map(({ text, from }) => ({ text, from, json: JSON.parse(text) }));
}

const user = (content: string) => ({ role: "user", content });

describe("a prompt a line", () => {
  test("becomes requests, blank lines left out, line numbers kept, CRLF and BOM gone", async () => {
    const lines = await read("\uFEFFone\r\n\r\n空は？ 🌊\n", "text", {
      system: "Be brief.",
      members: new Map([["max_tokens", "5"]]),
    });
    expect(lines.map(({ from }) => from)).toEqual([1, 3]);
    expect(lines[1]?.json).toEqual({
      custom_id: "line-3",
      method: "POST",
      url: "/v1/chat/completions",
      body: {
        model: "m",
        max_tokens: 5,
        messages: [{ role: "system", content: "Be brief." }, user("空は？ 🌊")],
      },
    });
  });

  test.each([
    ["/v1/embeddings", { model: "m", input: "one" }],
    ["/v1/completions", { model: "m", prompt: "one" }],
    ["/v1/responses", { model: "m", input: "one" }],
    ["/v1/messages", { model: "m", max_tokens: 1024, messages: [user("one")] }],
  ])("takes the shape of %s", async (endpoint, body) => {
    expect((await read("one\n", "text", { endpoint }))[0]?.json).toMatchObject({
      url: endpoint,
      body,
    });
  });

  test("ends at LF alone: U+2028, U+2029 and U+0085 are characters of a prompt", async () => {
    const lines = await read("a\u2028b\u2029c\u0085d\r\ne", "text");
    expect(lines.map(({ json }) => json.body.messages)).toEqual([
      [user("a\u2028b\u2029c\u0085d")],
      [user("e")],
    ]);
  });

  test("is refused when it is longer than any request", async () => {
    await expect(read(`a\n${"b".repeat(2_000_000)}\n`, "text")).rejects.toThrow(
      /in:2: is longer than the \d+ bytes that a line takes\.$/,
    );
  });

  test("goes where its model is served", async () => {
    const promptEndpoint = async (model: string) => (model === "m" ? "/v1/messages" : "/v1/x");
    const [line] = await read("one\n", "text", { promptEndpoint, system: "Be brief." });
    expect(line?.json).toMatchObject({
      url: "/v1/messages",
      body: { model: "m", system: "Be brief.", max_tokens: 1024, messages: [user("one")] },
    });
  });

  test("needs a model", async () => {
    await expect(read("one\n", "text", { model: undefined })).rejects.toThrow(
      /in:1: names no model\. Give one to all with --model/,
    );
  });
});

describe("JSON lines", () => {
  test("that are request lines pass as they stand, numbers past 2^53 too", async () => {
    const line = `{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"seed":12345678901234567890}}`;
    expect((await read(`${line}\n`, "jsonl"))[0]?.text).toBe(line);
  });

  test("may hold U+2028 and U+2029 in their texts", async () => {
    const lines = await read('{"prompt":"a\u2028b\u2029c"}\n', "jsonl");
    expect(lines.map(({ json }) => json.body.messages)).toEqual([[user("a\u2028b\u2029c")]]);
  });

  test("that are bodies or prompts become request lines", async () => {
    const lines = await read(
      [
        '{"messages":[{"role":"user","content":"a"}],"temperature":0}',
        '{"custom_id":"mine","body":{"model":"own","messages":[]}}',
        '{"prompt":"b","max_tokens":3}',
      ].join("\n"),
      undefined,
    );
    expect(lines.map(({ json }) => [json.custom_id, json.body])).toEqual([
      ["line-1", { model: "m", messages: [user("a")], temperature: 0 }],
      ["mine", { model: "own", messages: [] }],
      ["line-3", { model: "m", max_tokens: 3, messages: [user("b")] }],
    ]);
  });

  test("keep their numbers as they were written, and so do shared members", async () => {
    const lines = await read(
      '{"seed":9007199254740993,"messages":[]}\n{"prompt":"a","temperature":1.0}\n',
      "jsonl",
      { members: new Map([["seed", "9007199254740995"]]) },
    );
    const body = (text: string) => text.slice(text.indexOf('"body":') + 7, -1);
    expect(lines.map(({ text }) => body(text))).toEqual([
      '{"model":"m","seed":9007199254740993,"messages":[]}',
      '{"model":"m","seed":9007199254740995,"temperature":1.0,"messages":[{"role":"user","content":"a"}]}',
    ]);
  });

  test("may name their task by id, and by a text alone", async () => {
    const [line] = await read('{"id":"x1","prompt":"a"}\n', "jsonl");
    expect(line?.json).toMatchObject({ custom_id: "x1" });
    expect(line?.json.body).not.toHaveProperty("id");
    await expect(read('{"custom_id":7,"prompt":"a"}\n', "jsonl")).rejects.toThrow(
      /in:1: custom_id: takes a string, and is a number\.$/,
    );
  });

  test.each([
    ['{"a":1}\n{"b":\n', /in:2: not JSON/],
    ['{"a":1}\n[1]\n', /in:2: takes a JSON object/],
    ['{"a":1}\n[1]\n', /jq -c '\.\[\]' makes lines of an array\.$/],
  ])("name the line that is wrong: %j", async (content, message) => {
    const reading = read(content, "jsonl");
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toSatisfy(
      (error) => error instanceof Exit && error.code === EXIT.usage,
    );
  });
});

describe("a JSON array", () => {
  const whole = '[\n {"prompt": "a"},\n {"prompt": "b"}\n]\n';

  test.each([undefined, "text", "jsonl"] as const)(
    "is not sent line by line as %s",
    async (format) => {
      for (const content of [
        whole,
        `\n${whole}`,
        '["a",\n"b"]',
        '["a", "b"]\n',
        '[{"prompt":"a"}]',
      ]) {
        await expect(read(content, format)).rejects.toThrow(
          /jq -c '\.\[\]' makes lines of an array\.$/,
        );
      }
    },
  );

  test("is not every prompt that begins with a bracket", async () => {
    const lines = await read('[bad] question\n[1] Why?\n["a"]\n', undefined);
    expect(lines).toHaveLength(3);
  });
});

describe("what is not UTF-8", () => {
  const bytes = (head: string) => Buffer.concat([Buffer.from(head), Buffer.from([0x93, 0xfa, 10])]);

  test.each([
    ["text", "one\n\n"],
    ["jsonl", '{"prompt":"a"}\n\n'],
    ["csv", "prompt\na\n"],
  ] as const)("is refused by its line in %s", async (format, head) => {
    await expect(read(bytes(head), format)).rejects.toThrow(
      /in:3: is not UTF-8; save it as UTF-8\.$/,
    );
  });
});

describe("CSV", () => {
  test("fills the template, and takes ids from custom_id or id", async () => {
    const content = 'id,name,language\n7,"花子, さん",日本語\n8,"A ""b""\nc",English\n';
    const lines = await read(content, "csv", { template: "Greet {{name}} in {{ language }}." });
    expect(lines.map(({ json }) => [json.custom_id, json.body.messages[0].content])).toEqual([
      ["7", "Greet 花子, さん in 日本語."],
      ["8", 'Greet A "b"\nc in English.'],
    ]);
  });

  test("numbers rows by the line they begin in, and those without an id by it", async () => {
    const content = 'id,prompt\r\n\r\n,"a\r\nb"\r\n\r\n,c\r\n7,d\r\n';
    const lines = await read(content, "csv");
    expect(lines.map(({ from, json }) => [from, json.custom_id])).toEqual([
      [3, "line-3"],
      [6, "line-6"],
      [7, "7"],
    ]);
  });

  test("may begin with a byte order mark", async () => {
    expect((await read("\uFEFFprompt\nhello\n", "csv"))[0]?.json.body.messages).toEqual([
      user("hello"),
    ]);
  });

  test("without a template reads the column prompt", async () => {
    expect((await read("prompt\nhello\n", "csv"))[0]?.json.body.messages).toEqual([user("hello")]);
  });

  test.each([
    ["a\nx\n", undefined, /in:2: no column "prompt".*The columns are a\./],
    ["a\nx\n", "{{b}}", /--template names \{\{b\}\}\. The columns are a\./],
    ['a,b\n"x,y\n', "{{a}}", /in: not CSV: Quote Not Closed/],
    ["a,b\nx\n", "{{a}}", /in: not CSV: Invalid Record Length/],
  ])("says what is wrong with %j and template %s", async (content, template, message) => {
    await expect(read(content, "csv", { template })).rejects.toThrow(message);
  });
});
