import { describe, expect, test } from "vitest";
import { readGiven } from "../../src/core/given-line.ts";

describe("a line of JSON", () => {
  test("with url and body is a request", () => {
    const line = '{"custom_id":"a","url":"/v1/embeddings","body":{}}';
    expect(readGiven(line)).toEqual({ kind: "request", id: "a", endpoint: "/v1/embeddings" });
  });

  test("with a prompt keeps the members beside it as they were written", () => {
    expect(readGiven('{"prompt":"a","seed":9007199254740993,"temperature":1.0}')).toEqual({
      kind: "prompt",
      id: undefined,
      prompt: "a",
      members: new Map([
        ["seed", "9007199254740993"],
        ["temperature", "1.0"],
      ]),
    });
  });

  test.each([
    ['{"messages":[], "temperature":1.0}', undefined, '{"messages":[], "temperature":1.0}'],
    ['{"custom_id":"a","messages":[], "n":1.0}', "a", '{"messages":[],"n":1.0}'],
    ['{"custom_id":"a","body":{ "n":1.0 }}', "a", '{ "n":1.0 }'],
    ['{"id":"a","body":{"n":1.0}}', "a", '{"n":1.0}'],
  ])("that is a body keeps it as it was written: %s", (text, id, body) => {
    expect(readGiven(text)).toEqual({ kind: "body", id, body });
  });

  test("may name its task by id, which is then no member of the body", () => {
    expect(readGiven('{"id":"x1","prompt":"a"}')).toMatchObject({ id: "x1", members: new Map() });
    expect(readGiven('{"custom_id":"c","id":"x1","prompt":"a"}')).toMatchObject({
      id: "c",
      members: new Map([["id", '"x1"']]),
    });
  });

  test.each([
    ['{"custom_id":7,"prompt":"a"}', "custom_id: takes a string, and is a number."],
    ['{"custom_id":null,"prompt":"a"}', "custom_id: takes a string, and is null."],
    ['{"custom_id":[],"messages":[]}', "custom_id: takes a string, and is an array."],
    ['{"id":7,"prompt":"a"}', "id: takes a string, and is a number."],
    ['{"url":"/v1/x","body":{},"id":"a"}', "custom_id: takes a string, and is missing."],
    ['{"custom_id":"a","url":true,"body":{}}', "url: takes a string, and is a boolean."],
    ['{"custom_id":"a","body":"x"}', "body: takes an object, and is a string."],
    ["[1]", "takes a JSON object, not [1]."],
  ])("is refused with what it takes: %s", (text, fault) => {
    expect(readGiven(text)).toEqual({ fault });
  });

  test("that is no JSON is refused with why", () => {
    expect(readGiven("{")).toMatchObject({ fault: expect.stringMatching(/^not JSON \(.*\)\. /) });
  });
});
