import { describe, expect, test } from "vitest";
import {
  bodyOfPrompt,
  modelOf,
  modelOfPrompt,
  requestLine,
  withShared,
} from "../../src/core/request-line.ts";

const shared = (members: Record<string, string> = {}, model: string | undefined = "m") => ({
  model,
  system: undefined,
  members: new Map(Object.entries(members)),
});

describe("a body as it was written", () => {
  test.each([
    [
      '{"seed":9007199254740993, "temperature":1.0}',
      '{"model":"m","seed":9007199254740993, "temperature":1.0}',
    ],
    ['{"model":"own","a":1e2}', '{"model":"own","a":1e2}'],
    ["{ }", '{"model":"m" }'],
  ])("gets what it has not in front: %s", (body, whole) => {
    expect(withShared(body, shared())).toBe(whole);
  });

  test("has its own members before shared ones", () => {
    expect(withShared('{"n":1}', shared({ n: "2", top_p: "1.0" }))).toBe(
      '{"model":"m","top_p":1.0,"n":1}',
    );
  });

  test("takes a model among the shared members before the shared model", () => {
    expect(modelOf(withShared("{}", shared({ model: '"other"' })))).toBe("other");
  });
});

test("a prompt's own members go before shared ones, and all of them as they were written", () => {
  const own = new Map([["seed", "9007199254740993"]]);
  const body = bodyOfPrompt("a", "/v1/chat/completions", shared({ seed: "1", x: "1.0" }), own);
  expect(body).toBe(
    '{"model":"m","seed":9007199254740993,"x":1.0,"messages":[{"role":"user","content":"a"}]}',
  );
});

test.each([
  ["{}", undefined],
  ['{"model":7}', undefined],
  ['{"model":""}', undefined],
  ['{"model":"a"}', "a"],
])("the model of %s is %s", (body, model) => {
  expect(modelOf(body)).toBe(model);
});

test("a request line names its task, its endpoint and its body", () => {
  expect(JSON.parse(requestLine('a"b', "/v1/embeddings", '{"x":1}'))).toEqual({
    custom_id: 'a"b',
    method: "POST",
    url: "/v1/embeddings",
    body: { x: 1 },
  });
});

test("a prompt's model is its own, else that of the shared members, else the shared one", () => {
  const own = new Map([["model", '"own"']]);
  expect(modelOfPrompt(shared({ model: '"member"' }), own)).toBe("own");
  expect(modelOfPrompt(shared({ model: '"member"' }))).toBe("member");
  expect(modelOfPrompt(shared())).toBe("m");
  expect(modelOfPrompt(shared({ model: "7" }))).toBe(undefined);
});
