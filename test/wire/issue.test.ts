import { describe, expect, test } from "vitest";
import { z } from "zod";
import { ENDPOINTS, fromFile, fromPrompts, fromRequests } from "../../src/wire/batch.ts";
import { describeIssue } from "../../src/wire/issue.ts";

const CHAT = "/v1/chat/completions";

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

  test("repeats a long name by its beginning", () => {
    const name = "k".repeat(1_000);
    const begun = `${"k".repeat(100)}…`;
    const unknown = issueOf(fromFile, { input_file_id: "f", endpoint: CHAT, [name]: 1 });
    expect(unknown.param).toBe(begun);
    expect(unknown.message.length).toBeLessThan(500);
    const pair = issueOf(fromPrompts, { ...prompts, metadata: { [name]: 5 } });
    expect(pair.param).toBe(`metadata.${begun}`);
    expect(pair.message.length).toBeLessThan(200);
  });

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
    [{ max_concurrency: 0 }, "max_concurrency: takes a whole number from 1 to 10000."],
    [{ max_concurrency: 1.5 }, "max_concurrency: takes a whole number from 1 to 10000."],
    [{ priority: 101 }, "priority: takes a whole number from 1 to 100."],
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
