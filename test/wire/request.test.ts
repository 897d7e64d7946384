import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { estimateTokens } from "../../src/core/tokens.ts";
import {
  aroundPrompts,
  aroundRequests,
  ENDPOINTS,
  fromFile,
  fromPrompts,
  fromRequests,
  type PromptEndpoint,
} from "../../src/wire/batch.ts";
import {
  byteLength,
  describeIssue,
  MAX_BODY_BYTES,
  parseLine,
  tasksOfPrompts,
  tasksOfRequests,
} from "../../src/wire/request.ts";

const CHAT = "/v1/chat/completions";

/** Bodies that `JSON.parse` and `JSON.stringify` would change. */
const DELICATE = [
  '{"seed":12345678901234567890,"temperature":1.0,"top_p":1E-1,"x":-0}',
  '{"model":"m","b":1,"a":2,"10":3,"9":4}',
  '{"a":1,"a":2,"\\u0061":3}',
  '{"s":"\\u0041\\/\\ud83d\\ude00 \u2028 é 日本 \\ud800"}',
  '{ "a" : [ 1 ,\t2 ] }',
  '{"__proto__":{"a":1},"constructor":null,"toString":"x"}',
  '{"body":{"body":"}"},"custom_id":"inner"}',
  "{}",
];

/** Strings that a careless cutter of JSON would trip over. */
const hostile = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom(
    '"',
    "\\",
    '\\"',
    '"}],"x":[{"',
    '","stream":true,"x":"',
    "\n",
    "\r\n",
    "\u2028",
    "\0",
    "\ud800",
    "$&",
    "👩‍👩‍👧",
    "日本語",
    "Ω".repeat(100),
  ),
);

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

/** The tasks of a body with `requests`, checked as the API checks it. */
const ofRequests = (text: string) => tasksOfRequests(text, aroundRequests.parse(JSON.parse(text)));
const ofPrompts = (text: string, endpoint: PromptEndpoint = CHAT) =>
  tasksOfPrompts(text, aroundPrompts.parse(JSON.parse(text)), endpoint);

function tasksOf(inline: ReturnType<typeof tasksOfRequests>) {
  if (!inline.ok) throw new Error(inline.faults[0]?.message);
  return inline.tasks;
}

function faultsOf(inline: ReturnType<typeof tasksOfRequests>) {
  if (inline.ok) throw new Error("the body is good");
  return inline.faults;
}

/** A body of exactly so many bytes. */
function bodyOfBytes(bytes: number, filler = "x"): string {
  const room = bytes - byteLength('{"p":""}');
  const count = Math.floor(room / byteLength(filler));
  return `{"p":"${filler.repeat(count)}${"x".repeat(room - count * byteLength(filler))}"}`;
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
    const bodies = fc.dictionary(hostile, fc.oneof(hostile, fc.jsonValue()));
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
        body: fc.oneof(fc.dictionary(hostile, fc.jsonValue()), fc.jsonValue()),
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

describe("tasksOfRequests", () => {
  const bodyWith = (...requests: string[]) =>
    `{"endpoint":"${CHAT}","requests":[${requests.join(",")}]}`;

  test("keeps the order and the custom_ids, and names the others by their index", () => {
    const tasks = tasksOf(
      ofRequests(bodyWith('{"body":{"n":0}}', '{"custom_id":"b","body":{}}', '{"body":{"n":2}}')),
    );
    expect(tasks.map(({ customId }) => customId)).toEqual(["task-0", "b", "task-2"]);
    expect(tasks.map(({ body }) => body)).toEqual(['{"n":0}', "{}", '{"n":2}']);
  });

  test("estimates and names the model of each", () => {
    const [task] = tasksOf(ofRequests(bodyWith('{"body":{"model":"m","max_tokens":100}}')));
    expect(task).toMatchObject({ model: "m", cost: 100 });
  });

  test.each(DELICATE)("passes the body %s on byte for byte", (body) => {
    const [first, second] = tasksOf(ofRequests(bodyWith(`{"body":${body}}`, '{"body":{}}')));
    expect(first?.body).toBe(body);
    expect(second?.body).toBe("{}");
  });

  test("makes pretty-printed bodies one line each", () => {
    const requests = [{ body: { a: [1, { b: "x\ny" }] } }, { custom_id: "é", body: {} }];
    const text = JSON.stringify({ endpoint: CHAT, requests }, null, 2);
    const tasks = tasksOf(ofRequests(text));
    for (const [index, { body }] of tasks.entries()) {
      expect(body).not.toMatch(/[\r\n]/);
      expect(JSON.parse(body)).toEqual(requests[index]?.body);
    }
  });

  test("takes the requests that were checked when there are two lists", () => {
    const text = `{"requests":[{"body":{"n":1}}],"endpoint":"${CHAT}","requests":[{"body":{"n":2}}]}`;
    expect(tasksOf(ofRequests(text)).map(({ body }) => body)).toEqual(['{"n":2}']);
  });

  test("refuses a custom_id that an earlier request has, and names the later one", () => {
    const same = '{"custom_id":"a","body":{}}';
    expect(faultsOf(ofRequests(bodyWith(same, '{"custom_id":"b","body":{}}', same)))).toEqual([
      {
        code: "duplicate_custom_id",
        message: expect.stringMatching(/^requests\[2\]: .*'a'/),
        param: "requests[2].custom_id",
        index: 2,
      },
    ]);
  });

  test("refuses a given custom_id that is another request's name by index, before it or behind", () => {
    const behind = bodyWith('{"body":{}}', '{"custom_id":"task-0","body":{}}');
    const before = bodyWith('{"custom_id":"task-1","body":{}}', '{"body":{}}');
    for (const text of [behind, before]) {
      expect(faultsOf(ofRequests(text))).toMatchObject([
        { code: "duplicate_custom_id", param: "requests[1].custom_id" },
      ]);
    }
  });

  test("takes its own name by index when that is given", () => {
    const text = bodyWith('{"custom_id":"task-0","body":{}}', '{"body":{}}');
    expect(tasksOf(ofRequests(text)).map(({ customId }) => customId)).toEqual(["task-0", "task-1"]);
  });

  test("tells all faults at once, each with its index", () => {
    const text = bodyWith(
      '{"body":{"stream":true}}',
      '{"body":{}}',
      `{"body":${bodyOfBytes(MAX_BODY_BYTES + 1)}}`,
      '{"custom_id":"task-1","body":{}}',
    );
    const faults = faultsOf(ofRequests(text));
    expect(faults.map(({ param }) => param)).toEqual([
      "requests[0].body.stream",
      "requests[2].body",
      "requests[3].custom_id",
    ]);
    for (const { message, param } of faults) {
      expect(message).toContain(param?.split(".")[0]);
    }
  });

  test("tells those that have not even the shape of a request, beside those that are right", () => {
    const text = bodyWith('{"body":[]}', '{"body":{}}', "null", '{"bdy":{}}', '{"body":{}}');
    const inline = ofRequests(text);
    expect(faultsOf(inline).map(({ index, code, param }) => [index, code, param])).toEqual([
      [0, "invalid_body", "requests[0].body"],
      [2, "invalid_request", "requests[2]"],
      [3, "missing_required_parameter", "requests[3].body"],
    ]);
    if (inline.ok) expect.fail();
    expect(inline.tasks.map(({ customId }) => customId)).toEqual(["task-1", "task-4"]);
    expect(inline.places).toEqual([1, 4]);
  });

  test("keeps the first hundred faults, and counts the others", () => {
    const inline = ofRequests(bodyWith(...Array<string>(1_000).fill("5")));
    expect(faultsOf(inline)).toHaveLength(100);
    expect(inline).toMatchObject({ others: 900, tasks: [] });
  });

  test("gives a body or a fault for each of any requests", () => {
    const requests = fc.array(
      fc.record(
        {
          custom_id: fc.constantFrom("a", "b", "task-1", "é"),
          body: fc.dictionary(hostile, hostile),
        },
        { requiredKeys: ["body"] },
      ),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(requests, fc.constantFrom(0, 2), (given, indent) => {
        const names = given.map((request, index) => request.custom_id ?? `task-${index}`);
        const inline = ofRequests(
          JSON.stringify({ endpoint: CHAT, requests: given }, null, indent),
        );
        expect(inline.ok).toBe(new Set(names).size === names.length);
        if (!inline.ok) return;
        expect(inline.tasks.map(({ customId }) => customId)).toEqual(names);
        for (const [index, { body }] of inline.tasks.entries()) {
          expect(JSON.parse(body)).toEqual(JSON.parse(JSON.stringify(given[index]?.body)));
        }
      }),
    );
  });
});

describe("tasksOfPrompts", () => {
  test("makes one chat call of each prompt, named by its index, with the settings", () => {
    const text = '{"model":"gpt-4o","prompts":["one","two"],"max_tokens":500}';
    expect(tasksOf(ofPrompts(text))).toMatchObject([
      {
        customId: "task-0",
        body: '{"model":"gpt-4o","max_tokens":500,"messages":[{"role":"user","content":"one"}]}',
        model: "gpt-4o",
      },
      { customId: "task-1", model: "gpt-4o" },
    ]);
  });

  test("counts the settings and the prompt for the tokens of a call", () => {
    const [task] = tasksOf(ofPrompts('{"model":"m","prompts":["hello"],"max_tokens":500,"n":2}'));
    const messages = [{ role: "user", content: "hello" }];
    expect(task?.cost).toBe(estimateTokens(CHAT, { messages, max_tokens: 500, n: 2 }));
    expect(task?.cost).toBeGreaterThan(1000);
  });

  test("copies settings as they were written", () => {
    const settings =
      '"model":"m","seed":12345678901234567890,"t":1.0,"bo\\u0064y":{"b":1,"a":"\\u0041"}';
    const [task] = tasksOf(ofPrompts(`{${settings},"prompts":["p"]}`));
    expect(task?.body).toBe(
      `{${settings.replace("bo\\u0064y", "body")},"messages":[{"role":"user","content":"p"}]}`,
    );
  });

  test("copies no option of the batch into the calls", () => {
    const options = {
      metadata: { team: "a" },
      completion_window: "1h",
      max_concurrency: 5,
      priority: 1,
      webhook: { url: "https://example.com" },
    };
    const text = JSON.stringify({ ...options, model: "m", prompts: ["p"], temperature: 0 });
    const [task] = tasksOf(ofPrompts(text));
    expect(Object.keys(JSON.parse(task?.body ?? ""))).toEqual(["model", "temperature", "messages"]);
  });

  test("are messages of Anthropic's endpoint alike, which needs max_tokens", () => {
    const text = '{"model":"claude","prompts":["空？"],"max_tokens":50,"system":"Be brief."}';
    expect(JSON.parse(tasksOf(ofPrompts(text, "/v1/messages"))[0]?.body ?? "")).toEqual({
      model: "claude",
      max_tokens: 50,
      system: "Be brief.",
      messages: [{ role: "user", content: "空？" }],
    });
    const without = '{"model":"claude","prompts":["p"]}';
    expect(faultsOf(ofPrompts(without, "/v1/messages"))).toMatchObject([
      { code: "missing_required_parameter", param: "max_tokens" },
    ]);
  });

  test("copies prompts as they were written", () => {
    const written = '"\\u0041\\/ é 日本 \\ud83d\\ude00 \u2028 \\n"';
    const [task] = tasksOf(ofPrompts(`{"model":"m","prompts":[ ${written} ]}`));
    expect(task?.body).toContain(`"content":${written}}]}`);
  });

  test("lets no prompt or setting reach out of its place", () => {
    const settings = fc.dictionary(
      hostile.filter((key) => !["prompts", "model", "messages", "__proto__"].includes(key)),
      fc.oneof(hostile, fc.jsonValue()),
    );
    const options = ["metadata", "completion_window", "max_concurrency", "priority", "webhook"];
    const prompts = fc.array(hostile, { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(settings, prompts, fc.constantFrom(0, 2), (given, texts, indent) => {
        fc.pre(!options.some((option) => option in given) && !("stream" in given));
        const text = JSON.stringify({ ...given, model: "m", prompts: texts }, null, indent);
        const tasks = tasksOf(ofPrompts(text));
        expect(tasks).toHaveLength(texts.length);
        for (const [index, { customId, body }] of tasks.entries()) {
          expect(customId).toBe(`task-${index}`);
          expect(body).not.toMatch(/[\r\n]/);
          const messages = [{ role: "user", content: texts[index] }];
          const sent = JSON.stringify({ ...given, model: "m", messages });
          expect(JSON.parse(body)).toEqual(JSON.parse(sent));
        }
      }),
    );
  });

  test("takes an empty prompt and the same prompt twice", () => {
    const tasks = tasksOf(ofPrompts('{"model":"m","prompts":["","same","same"]}'));
    expect(tasks.map(({ customId }) => customId)).toEqual(["task-0", "task-1", "task-2"]);
  });

  test("takes the prompts that were checked when there are two lists", () => {
    const [task] = tasksOf(ofPrompts('{"prompts":["first"],"model":"m","prompts":["second"]}'));
    expect(JSON.parse(task?.body ?? "").messages[0].content).toBe("second");
  });

  test("refuses a streamed answer, and names the setting as it was sent", () => {
    const text = '{"model":"m","prompts":["p"],"stream":true}';
    expect(faultsOf(ofPrompts(text))).toMatchObject([{ code: "invalid_body", param: "stream" }]);
  });

  test("refuses a prompt too large for one task, and names it", () => {
    const prompts = ["p", "x".repeat(MAX_BODY_BYTES)];
    const [fault] = faultsOf(ofPrompts(JSON.stringify({ model: "m", prompts })));
    expect(fault).toMatchObject({ code: "body_too_large", param: "prompts[1]" });
    expect(fault?.message).toContain("prompts[1]");
  });

  test("tells every prompt that is no text", () => {
    const inline = ofPrompts('{"model":"m","prompts":["a",1,"b",null]}');
    expect(faultsOf(inline)).toMatchObject([
      { index: 1, code: "invalid_prompt", param: "prompts[1]" },
      { index: 3, code: "invalid_prompt", param: "prompts[3]" },
    ]);
    expect(inline).toMatchObject({ places: [0, 2] });
  });

  test("refuses settings that, repeated for every prompt, are too much together", () => {
    const text = JSON.stringify({
      model: "m",
      prompts: Array(100).fill("p"),
      schema: "x".repeat(1_000_000),
    });
    expect(faultsOf(ofPrompts(text))).toMatchObject([{ code: "too_large", param: "prompts" }]);
  });
});

describe("describeIssue", () => {
  /** The first issue of a value. */
  function issueOf(schema: z.ZodType, value: unknown) {
    const { error } = schema.safeParse(value);
    if (error === undefined) throw new Error("the value is good");
    return describeIssue(error);
  }
  const prompts = { model: "m", prompts: ["p"] };

  test.each<[z.ZodType, unknown, string]>([
    [fromRequests, { endpoint: CHAT, requests: [{ body: {} }, { body: 5 }] }, "requests[1].body"],
    [fromRequests, { endpoint: CHAT, requests: [null] }, "requests[0]"],
    [fromRequests, { endpoint: CHAT, requests: [] }, "requests"],
    [fromRequests, { endpoint: "/v2", requests: [{ body: {} }] }, "endpoint"],
    [
      fromRequests,
      { requests: [{ body: {}, custom_id: "" }], endpoint: CHAT },
      "requests[0].custom_id",
    ],
    [fromPrompts, { ...prompts, prompts: ["p", 3] }, "prompts[1]"],
    [fromPrompts, { ...prompts, metadata: { team: 5 } }, "metadata.team"],
    [fromPrompts, { ...prompts, webhook: { url: 5 } }, "webhook.url"],
    [fromPrompts, { ...prompts, completion_window: "1y" }, "completion_window"],
    [fromPrompts, { ...prompts, max_concurrency: 0 }, "max_concurrency"],
  ])(
    "gives the path of what is wrong, and begins the sentence with it (%#)",
    (schema, value, param) => {
      const issue = issueOf(schema, value);
      expect(issue.param).toBe(param);
      expect(issue.message.startsWith(`${param}: `)).toBe(true);
      expect(issue.message).toMatch(/[^.]\.$/);
      expect(issue.message).not.toContain("Invalid input");
    },
  );

  test("speaks of the body when it is wrong as a whole", () => {
    for (const value of [null, [], "text", 5]) {
      expect(issueOf(fromPrompts, value)).toEqual({
        param: "",
        message: expect.stringMatching(/^The body: expected object, received \w+\.$/),
        reason: undefined,
      });
    }
  });

  test.each<[z.ZodType, unknown, string, string]>([
    [fromFile, { endpoint: CHAT }, "input_file_id", "Missing required parameter: 'input_file_id'."],
    [
      fromRequests,
      { endpoint: CHAT, requests: [{ body: {} }, {}] },
      "requests[1].body",
      "Missing required parameter: 'requests[1].body'.",
    ],
    [
      fromFile,
      { input_file_id: "f" },
      "endpoint",
      `Missing required parameter: 'endpoint'. It takes one of ${ENDPOINTS.join(", ")}.`,
    ],
    [
      fromPrompts,
      JSON.parse('{"model":"m","prompts":["p"],"webhook":{"__proto__":{"url":"u"}}}'),
      "webhook.url",
      "Missing required parameter: 'webhook.url'.",
    ],
  ])("tells a missing field from a wrong one (%#)", (schema, value, param, message) => {
    const { error } = schema.safeParse(value);
    if (error === undefined) throw new Error("the value is good");
    const reason = "missing_required_parameter";
    expect(describeIssue(error, value)).toEqual({ param, message, reason });
  });

  test("does not call a null missing", () => {
    const value = { endpoint: CHAT, input_file_id: null };
    const { error } = fromFile.safeParse(value);
    if (error === undefined) throw new Error("the value is good");
    expect(describeIssue(error, value).reason).toBeUndefined();
  });

  test.each<[z.ZodType, object, string, RegExp]>([
    [
      fromFile,
      { input_file_id: "f", endpoint: CHAT, max_concurency: 5 },
      "max_concurency",
      /^Unknown parameter: 'max_concurency'\. Did you mean 'max_concurrency'\?$/,
    ],
    [
      fromFile,
      { input_file_id: "f", endpoint: CHAT, zzz: 5 },
      "zzz",
      /^Unknown parameter: 'zzz'\. It takes input_file_id, endpoint, .*max_concurrency.*\.$/,
    ],
    [
      fromRequests,
      { endpoint: CHAT, requests: [{ body: {} }, { body: {}, customid: "a" }] },
      "requests[1].customid",
      /^Unknown parameter: 'requests\[1\]\.customid'\. Did you mean 'custom_id'\?$/,
    ],
    [
      fromPrompts,
      { ...prompts, webhook: { url: "u", secrets: "" } },
      "webhook.secrets",
      /^Unknown parameter: 'webhook.secrets'\. Did you mean 'secret'\?$/,
    ],
  ])("names an unknown field, and the one that was meant (%#)", (schema, value, param, message) => {
    const issue = issueOf(schema, value);
    expect(issue).toMatchObject({ param, reason: "unknown_parameter" });
    expect(issue.message).toMatch(message);
  });

  test.each<[object, string]>([
    [{ max_concurrency: 0 }, "max_concurrency: at least 1."],
    [{ max_concurrency: 1.5 }, "max_concurrency: expected a whole number, received number."],
    [{ priority: 101 }, "priority: at most 100."],
    [{ prompts: [] }, "prompts: at least 1 element."],
    [{ model: "" }, "model: at least 1 character."],
    [{ metadata: { team: "x".repeat(513) } }, "metadata.team: at most 512 characters."],
    [{ metadata: [] }, "metadata: expected object, received array."],
  ])("speaks of %j in words of its user's", (wrong, message) => {
    expect(issueOf(fromPrompts, { ...prompts, ...wrong }).message).toBe(message);
  });

  test("quotes the words that a field takes", () => {
    const one = z.object({
      of: z.enum(["asc", "desc"]).optional(),
      the: z.literal("POST").optional(),
    });
    expect(issueOf(one, { of: "up" }).message).toBe('of: one of "asc", "desc".');
    expect(issueOf(one, { the: "GET" }).message).toBe('the: only "POST".');
  });

  test("says what is taken instead", () => {
    expect(issueOf(fromRequests, { endpoint: "x", requests: [] }).message).toContain(
      ENDPOINTS.join(", "),
    );
    expect(issueOf(fromPrompts, { ...prompts, completion_window: "" }).message).toContain("24h");
  });
});

describe("byteLength", () => {
  test("is that of the text as UTF-8", () => {
    expect(["", "a", "é", "日", "😀", "\ud800"].map(byteLength)).toEqual([0, 1, 2, 3, 4, 3]);
  });
});
