import { describe, expect, test } from "vitest";
import { kindOf, read } from "../../src/dashboard/page/input.ts";
import type { Settings } from "../../src/dashboard/page/request-maker.ts";

const SETTINGS: Settings = { model: "m", system: "", maxTokens: "", template: "" };
const bodies = (lines: readonly string[]) => lines.map((line) => JSON.parse(line));

describe("what was pasted or dropped", () => {
  test.each([
    ["hello", "", "prompts"],
    ['  {"a":1}', "", "jsonl"],
    ["\uFEFF{}", "", "jsonl"],
    ["a,b", "x.CSV", "csv"],
    ["x", "x.jsonl", "jsonl"],
    ["{}", "notes.csv", "csv"],
  ])("%j of file %j is %s", (text, name, kind) => {
    expect(kindOf(text, name)).toBe(kind);
  });

  test("becomes a request for each prompt, numbered by its line", () => {
    const { lines, faults } = read("one\r\n\r\n空は？ 🌊\n", "prompts", {
      ...SETTINGS,
      system: "Be brief.",
      maxTokens: "5",
    });
    expect(faults).toEqual([]);
    expect(bodies(lines)).toMatchObject([
      { custom_id: "line-1" },
      {
        custom_id: "line-3",
        url: "/v1/chat/completions",
        body: {
          model: "m",
          max_tokens: 5,
          messages: [{ role: "system" }, { role: "user", content: "空は？ 🌊" }],
        },
      },
    ]);
  });

  test("passes request lines on as they stand", () => {
    const line =
      '{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"n":12345678901234567890}}';
    const found = read(`${line}\n`, "jsonl", { ...SETTINGS, model: "" });
    expect(found).toEqual({ lines: [line], faults: [], endpoint: "/v1/embeddings" });
  });

  test("keeps numbers as they were written", () => {
    const text = '{"seed":9007199254740993,"messages":[]}\n{"prompt":"a","temperature":1.0}';
    const [body, prompt] = read(text, "jsonl", SETTINGS).lines;
    expect(body).toContain('"body":{"model":"m","seed":9007199254740993,"messages":[]}}');
    expect(prompt).toContain('"temperature":1.0');
  });

  test("takes id for the custom_id, and a text alone for either", () => {
    const { lines, faults } = read(
      '{"id":"x1","prompt":"a"}\n{"custom_id":7,"prompt":"a"}',
      "jsonl",
      SETTINGS,
    );
    expect(bodies(lines)).toMatchObject([{ custom_id: "x1" }]);
    expect(bodies(lines)[0].body).not.toHaveProperty("id");
    expect(faults).toEqual([{ line: 2, message: "custom_id: takes a string, and is a number." }]);
  });

  test("keeps U+2028 in a prompt", () => {
    const { lines } = read('{"prompt":"a\u2028b"}', "jsonl", SETTINGS);
    expect(bodies(lines)[0].body.messages[0].content).toBe("a\u2028b");
  });

  test("refuses a JSON array, whose lines would be sent as prompts", () => {
    for (const text of ['\n[\n{"prompt":"a"}\n]', '\n["a",\n"b"]', '\n["a", "b"]']) {
      const { lines, faults } = read(text, kindOf(text), SETTINGS);
      expect(lines).toEqual([]);
      expect(faults).toEqual([{ line: 2, message: expect.stringContaining("jq -c '.[]'") }]);
    }
    expect(read("[bad] question\n[1]", "prompts", SETTINGS)).toMatchObject({ faults: [] });
  });

  test("names each line that is wrong, and drops none in silence", () => {
    const text = ['{"prompt":"good"}', "nonsense", "[1]", '{"custom_id":"line-1","prompt":"b"}'];
    const { lines, faults } = read(text.join("\n"), "jsonl", SETTINGS);
    expect(lines).toHaveLength(1);
    expect(faults.map(({ line }) => line)).toEqual([2, 3, 4]);
    expect(faults[2]?.message).toContain("that of line 1 too");
  });

  test("needs a model", () => {
    const none = { ...SETTINGS, model: "" };
    expect(read("a\n", "prompts", none).faults).toHaveLength(1);
    expect(read('{"messages":[]}', "jsonl", none).faults).toEqual([
      { line: 1, message: "names no model." },
    ]);
    expect(read("prompt\na\n", "csv", none).faults).toHaveLength(1);
  });

  test("fills a template from CSV", () => {
    const { lines, faults } = read('id,name\n7,"花子, ""さん"""\n', "csv", {
      ...SETTINGS,
      template: "Greet {{name}}.",
    });
    expect(faults).toEqual([]);
    expect(bodies(lines)[0]).toMatchObject({
      custom_id: "7",
      body: { messages: [{ content: 'Greet 花子, "さん".' }] },
    });
  });

  test("numbers what is wrong with CSV by the line its row begins in", () => {
    const text = '\uFEFFid,prompt\r\n\r\n1,"a\r\nb"\r\nx\r\n\r\n1,c\r\n,d\r\n2,"e';
    const { lines, faults } = read(text, "csv", SETTINGS);
    expect(bodies(lines).map(({ custom_id }) => custom_id)).toEqual(["1", "row-3", "2"]);
    expect(faults).toEqual([
      { line: 5, message: "Not CSV: takes 2 cells, and has 1." },
      { line: 7, message: "custom_id '1' is that of line 3 too; each takes its own." },
      { line: 9, message: "Not CSV: Quoted field unterminated." },
    ]);
  });

  test("sends prompts where their model is served", () => {
    const upstreams = [
      { api: ["anthropic"], models: ["claude-*"] },
      { api: ["openai"], models: ["m"] },
    ];
    const claude = { ...SETTINGS, model: "claude-x", system: "Be brief." };
    for (const [text, kind] of [
      ["a", "prompts"],
      ["prompt\na\n", "csv"],
      ['{"prompt":"a"}', "jsonl"],
    ] as const) {
      const { lines, endpoint } = read(text, kind, claude, upstreams);
      expect(endpoint).toBe("/v1/messages");
      expect(bodies(lines)[0]).toMatchObject({
        url: "/v1/messages",
        body: {
          model: "claude-x",
          system: "Be brief.",
          max_tokens: 1024,
          messages: [{ role: "user", content: "a" }],
        },
      });
      expect(read(text, kind, SETTINGS, upstreams).endpoint).toBe("/v1/chat/completions");
    }
  });

  test("says which column a template wants in vain, and where CSV is broken", () => {
    expect(read("a\nx\n", "csv", { ...SETTINGS, template: "{{b}}" }).faults).toEqual([
      { line: 1, message: "The template names {{b}}; the columns are a." },
    ]);
    expect(read("prompt,b\nx\n", "csv", SETTINGS).faults[0]?.line).toBe(2);
  });
});
