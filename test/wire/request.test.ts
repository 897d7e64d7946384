import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { estimateTokens } from "../../src/core/tokens.ts";
import { ENDPOINTS } from "../../src/wire/batch.ts";
import { byteLength, MAX_BODY_BYTES, parseLine } from "../../src/wire/request.ts";
import { bodyOfBytes, DELICATE, hostile, hostileName } from "../support/bodies.ts";

const CHAT = "/v1/chat/completions";

const lineWith = (body: string, more = "") =>
  `{"custom_id":"a","method":"POST","url":"${CHAT}","body":${body}${more}}`;

/** The task of a line that is good. */
function taskOf(text: string) {
  const parsed = parseLine(text, CHAT);
  if (!parsed.ok) throw new Error(parsed.fault.message);
  return parsed.task;
}

/** What is wrong with a line. */
function faultOf(text: string) {
  const parsed = parseLine(text, CHAT);
  if (parsed.ok) throw new Error("the line is good");
  return parsed.fault;
}

describe("parseLine", () => {
  test("reads a line into a task", () => {
    const body = { model: "gpt-4o", messages: [{ role: "user", content: "hello" }], max_tokens: 9 };
    expect(taskOf(lineWith(JSON.stringify(body)))).toEqual({
      customId: "a",
      body: JSON.stringify(body),
      cost: estimateTokens(CHAT, body),
      inputTokens: estimateTokens(CHAT, body) - 9,
      outputTokens: 9,
      model: "gpt-4o",
    });
  });

  test("takes every endpoint of a batch", () => {
    for (const endpoint of ENDPOINTS) {
      const line = `{"custom_id":"a","method":"POST","url":"${endpoint}","body":{}}`;
      expect(parseLine(line, endpoint).ok).toBe(true);
    }
  });

  test("takes members in any order, and lets others be", () => {
    const line = `{"x":1,"body":{"n":1.0},"url":"${CHAT}","custom_id":"b","method":"POST","y":[]}`;
    expect(taskOf(line)).toMatchObject({ customId: "b", body: '{"n":1.0}' });
  });

  test("names a URL that is not the batch's, a long one by its beginning", () => {
    const line = (url: string) => `{"custom_id":"a","method":"POST","url":"${url}","body":{}}`;
    expect(faultOf(line("/v1/embeddings"))).toMatchObject({ code: "invalid_url", param: "url" });
    expect(faultOf(line("/v1/embeddings")).message).toContain("'/v1/embeddings'");
    const { message } = faultOf(line(`/${"u".repeat(1_800_000)}`));
    expect(message).toContain(`'/${"u".repeat(99)}…'`);
    expect(message.length).toBeLessThan(300);
  });

  test("takes a model's name of 512 characters, and refuses one more", () => {
    const body = (length: number) => lineWith(JSON.stringify({ model: "m".repeat(length) }));
    expect(taskOf(body(512)).model).toHaveLength(512);
    expect(faultOf(body(513))).toMatchObject({ code: "invalid_body", param: "body.model" });
  });

  test("knows no model when there is none, or when it is no text", () => {
    expect(taskOf(lineWith("{}")).model).toBeUndefined();
    expect(taskOf(lineWith('{"model":5}')).model).toBeUndefined();
  });

  test.each(DELICATE)("passes the body %s on byte for byte", (body) => {
    expect(taskOf(lineWith(body)).body).toBe(body);
  });

  test("passes on the body that was checked when there are two", () => {
    const line = lineWith('{"stream":true}', ',"body":{"second":1.0}');
    expect(taskOf(line).body).toBe('{"second":1.0}');
    expect(faultOf(lineWith("{}", ',"body":{"stream":true}')).param).toBe("body.stream");
  });

  test("passes any body on unchanged, on one line however it was written", () => {
    const bodies = fc.dictionary(hostileName, fc.oneof(hostile, fc.jsonValue()));
    const indents = fc.constantFrom<string | number>(0, 2, "\t");
    fc.assert(
      fc.property(bodies, indents, fc.constantFrom("\n", "\r\n", "\r"), (body, indent, eol) => {
        fc.pre(body.stream !== true);
        const text = JSON.stringify(body, null, indent).replaceAll("\n", eol);
        const task = taskOf(lineWith(` ${text}\t`));
        expect(task.body).toBe(text.replaceAll(eol, ""));
        expect(JSON.parse(task.body)).toEqual(JSON.parse(text));
      }),
    );
  });

  test.each([
    ["not JSON", "{custom_id:1}"],
    ["cut off", lineWith("{}").slice(0, -1)],
    ["two values", `${lineWith("{}")}${lineWith("{}")}`],
    ["empty", ""],
    ["a comment", `// ${lineWith("{}")}`],
    ["with a trailing comma", `{"custom_id":"a",}`],
    ["an array", `[${lineWith("{}")}]`],
    ["null", "null"],
    ["text", '"custom_id"'],
    ["a number", "5"],
  ])("refuses a line that is %s", (_, text) => {
    expect(faultOf(text)).toMatchObject({ code: "invalid_json_line", param: null });
  });

  test.each([
    ["without custom_id", `{"method":"POST","url":"${CHAT}","body":{}}`, "custom_id"],
    ["with a number as custom_id", lineWith("{}", ',"custom_id":5'), "custom_id"],
    ["with null as custom_id", lineWith("{}", ',"custom_id":null'), "custom_id"],
    ["with an empty custom_id", lineWith("{}", ',"custom_id":""'), "custom_id"],
    ["with a custom_id too long", lineWith("{}", `,"custom_id":"${"x".repeat(513)}"`), "custom_id"],
    ["with half a character in custom_id", lineWith("{}", ',"custom_id":"\\ud800"'), "custom_id"],
    ["with another method", lineWith("{}", ',"method":"GET"'), "method"],
    ["with a method in lower case", lineWith("{}", ',"method":"post"'), "method"],
    ["without a method", `{"custom_id":"a","url":"${CHAT}","body":{}}`, "method"],
    ["without a url", '{"custom_id":"a","method":"POST","body":{}}', "url"],
    ["with a number as url", lineWith("{}", ',"url":5'), "url"],
    ["without a body", `{"custom_id":"a","method":"POST","url":"${CHAT}"}`, "body"],
    ["with null as body", lineWith("null"), "body"],
    ["with an array as body", lineWith("[{}]"), "body"],
    ["with text as body", lineWith('"{}"'), "body"],
    ["with a number as body", lineWith("5"), "body"],
  ])("refuses a line %s, and names the member", (what, text, param) => {
    const fault = faultOf(text);
    if (what.startsWith("without")) {
      const message = `Missing required parameter: '${param}'.`;
      expect(fault).toEqual({ code: "missing_required_parameter", message, param });
    } else {
      expect(fault).toMatchObject({ code: `invalid_${param}`, param });
      expect(fault.message).toMatch(new RegExp(`^${param}: .+\\.$`));
    }
  });

  test.each(["/v1/embeddings", `${CHAT}/`, `https://api.openai.com${CHAT}`, "", "/v1/other"])(
    "refuses the url %j when the batch's endpoint is another, and names both",
    (url) => {
      const fault = faultOf(lineWith("{}", `,"url":"${url}"`));
      expect(fault).toMatchObject({ code: "invalid_url", param: "url" });
      expect(fault.message).toContain(`'${url}'`);
      expect(fault.message).toContain(`'${CHAT}'`);
    },
  );

  test("refuses a streamed answer, and no other value of stream", () => {
    const fault = faultOf(lineWith('{"model":"m","stream":true}'));
    expect(fault).toMatchObject({ code: "invalid_body", param: "body.stream" });
    for (const body of ['{"stream":false}', '{"stream":null}', '{"x":{"stream":true}}', "{}"]) {
      expect(taskOf(lineWith(body)).body).toBe(body);
    }
  });

  test("takes a body of exactly the most bytes, and refuses one byte more", () => {
    for (const filler of ["x", "é", "日", "😀"]) {
      const most = bodyOfBytes(MAX_BODY_BYTES, filler);
      expect(taskOf(lineWith(most)).body).toBe(most);
      const fault = faultOf(lineWith(bodyOfBytes(MAX_BODY_BYTES + 1, filler)));
      expect(fault).toMatchObject({ code: "body_too_large", param: "body" });
      expect(fault.message).toContain(String(MAX_BODY_BYTES));
    }
  });

  test("does not count line ends that are not passed on", () => {
    const most = bodyOfBytes(MAX_BODY_BYTES);
    expect(taskOf(lineWith(`{\n\r\n${most.slice(1)}`)).body).toBe(most);
  });

  test("has a task or a fault for any text, and never throws", () => {
    const members = fc.record(
      {
        custom_id: fc.oneof(hostile, fc.jsonValue()),
        method: fc.constantFrom("POST", "GET", 1),
        url: fc.constantFrom(CHAT, "/v1/embeddings", null),
        body: fc.oneof(fc.dictionary(hostileName, fc.jsonValue()), fc.jsonValue()),
      },
      { requiredKeys: [] },
    );
    const texts = fc.oneof(
      fc.string(),
      fc.json(),
      members.map((line) => JSON.stringify(line)),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const parsed = parseLine(text, CHAT);
        if (parsed.ok) expect(parsed.task.customId).toBe(JSON.parse(text).custom_id);
        else expect(parsed.fault.message).toMatch(/\.$/);
      }),
      { numRuns: 500 },
    );
  });
});

describe("byteLength", () => {
  test("is that of the text as UTF-8", () => {
    expect(["", "a", "é", "日", "😀", "\ud800"].map(byteLength)).toEqual([0, 1, 2, 3, 4, 3]);
  });
});
