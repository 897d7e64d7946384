import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { estimateTokens } from "../../src/core/tokens.ts";
import { aroundPrompts, aroundRequests, type PromptEndpoint } from "../../src/wire/batch.ts";
import { tasksOfPrompts, tasksOfRequests } from "../../src/wire/inline.ts";
import { MAX_BODY_BYTES } from "../../src/wire/request.ts";
import { bodyOfBytes, DELICATE, hostile, hostileName } from "../support/bodies.ts";

const CHAT = "/v1/chat/completions";

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

  test("reads no further than a thousand that are wrong", () => {
    const wrong = JSON.stringify({
      endpoint: CHAT,
      requests: Array.from({ length: 200_000 }, () => 5),
    });
    expect(ofRequests(wrong)).toMatchObject({ ok: false, others: 900, tasks: [] });
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
          body: fc.dictionary(hostileName, hostile),
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
      hostileName.filter((key) => !["prompts", "model", "messages", "__proto__"].includes(key)),
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

  test("names a misspelt option among the first thousand members, and looks at no more", () => {
    const settings = (count: number) =>
      Array.from({ length: count }, (_, index) => `"setting_${index}":1`).join(",");
    const body = (count: number) =>
      `{"model":"m","prompts":["p"],${settings(count)},"max_concurency":5}`;
    expect(faultsOf(ofPrompts(body(900)))).toMatchObject([{ code: "unknown_parameter" }]);
    expect(tasksOf(ofPrompts(body(1_000)))).toHaveLength(1);
  });

  test("refuses members beside prompts that no task takes, once for all prompts", () => {
    const text = `{"model":"m","prompts":["a","b"],"pad":"${"x".repeat(MAX_BODY_BYTES)}"}`;
    expect(faultsOf(ofPrompts(text))).toMatchObject([
      { code: "body_too_large", message: expect.stringContaining("beside prompts") },
    ]);
  });
});
