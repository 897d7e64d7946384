import { expect, test } from "vitest";
import {
  matches,
  promptEndpointOf,
  quotaNamed,
  routesOf,
  unservedBy,
} from "../../src/config/routes.ts";
import { upstreamAt } from "../support/upstream.ts";

const CHAT = "/v1/chat/completions";
const limits = { maxConcurrency: 5 };

test.each([
  ["gpt-4o", "gpt-4o", true],
  ["gpt-4o", "gpt-4o-mini", false],
  ["gpt-4o*", "gpt-4o-mini", true],
  ["gpt-4o*", "gpt-4o", true],
  ["gpt-4o*", "chatgpt-4o", false],
  ["*mini", "gpt-4o-mini", true],
  ["*mini", "gpt-4o-mini-2", false],
  ["*4o*", "gpt-4o-mini", true],
  ["a*b*c", "a-b-b-c", true],
  ["a*b*c", "acb", false],
  // What the ends take is not there twice.
  ["ab*ba", "aba", false],
  ["a*a*a", "aa", false],
  ["*", "", true],
  ["**", "anything", true],
  ["gpt.4o", "gpt-4o", false],
  ["GPT*", "gpt-4o", false],
])("the pattern %s and the model %s: %s", (pattern, model, taken) => {
  expect(matches([pattern], model)).toBe(taken);
});

test("a pattern of many stars takes no longer than its length", () => {
  const pattern = "*a".repeat(100);
  expect(matches([pattern], "a".repeat(99))).toBe(false);
  expect(matches([pattern], "a".repeat(200))).toBe(true);
});

test("the ways for a model are the upstreams that serve it, in order", () => {
  const first = upstreamAt("http://a/v1", limits, { name: "a", models: ["gpt-*"] });
  const second = upstreamAt("http://b/v1", limits, { name: "b", models: ["o3", "gpt-4o*"] });
  const names = (model: string) =>
    routesOf([first, second], CHAT, model).map(({ upstream }) => upstream.name);
  expect(names("gpt-4o")).toEqual(["a", "b"]);
  expect(names("gpt-5")).toEqual(["a"]);
  expect(names("o3")).toEqual(["b"]);
  expect(names("claude")).toEqual([]);
  expect(names("")).toEqual([]);
});

test("a model's quota is the first whose patterns match it, and the upstream's own after them", () => {
  const mini = { name: "a:mini", models: ["*-mini"], limits };
  const gpt = { name: "a:gpt", models: ["gpt-*"], limits };
  const own = { name: "a", models: ["*"], limits };
  const upstream = upstreamAt("http://a/v1", limits, { name: "a", quotas: [mini, gpt, own] });
  const quota = (model: string) => routesOf([upstream], CHAT, model)[0]?.quota;
  expect(quota("gpt-4o-mini")).toBe(mini);
  expect(quota("gpt-4o")).toBe(gpt);
  expect(quota("o3")).toBe(own);
  expect(quotaNamed([upstream], "a:gpt")).toBe(gpt);
  expect(quotaNamed([upstream], "b")).toBeUndefined();
});

test("an endpoint goes to the upstreams whose API has it", () => {
  const openai = upstreamAt("http://a/v1", limits, { name: "a" });
  const anthropic = upstreamAt("http://b/v1", limits, { name: "b", apis: ["anthropic"] });
  const names = (endpoint: string) =>
    routesOf([openai, anthropic], endpoint, "m").map(({ upstream }) => upstream.name);
  expect(names(CHAT)).toEqual(["a"]);
  expect(names("/v1/embeddings")).toEqual(["a"]);
  expect(names("/v1/messages")).toEqual(["b"]);
  const both = upstreamAt("http://c/v1", limits, { name: "c", apis: ["openai", "anthropic"] });
  expect(routesOf([both], "/v1/messages", "m")).toHaveLength(1);
  expect(routesOf([both], CHAT, "m")).toHaveLength(1);
});

test("a model that nobody serves is told what is served", () => {
  const upstreams = [
    upstreamAt("http://a/v1", limits, { name: "a", models: ["gpt-*"] }),
    upstreamAt("http://b/v1", limits, { name: "b", models: ["o3", "gpt-*"] }),
  ];
  const unserved = unservedBy(upstreams, CHAT);
  expect(unserved("gpt-4o")).toBeUndefined();
  expect(unserved("llama")).toBe(
    "no upstream serves the model 'llama' on /v1/chat/completions; served there: gpt-*, o3.",
  );
  expect(unserved(undefined)).toContain("a body without a model");
  expect(unservedBy(upstreams, "/v1/messages")("claude")).toBe(
    "no upstream of this Muster has /v1/messages; one whose 'api' is anthropic would.",
  );
});

test.each([
  ["claude-x", "/v1/messages"],
  ["gpt-4o", CHAT],
  ["both", CHAT],
  ["nobody's", CHAT],
])("prompts for %s go to %s", (model, endpoint) => {
  const shown = [
    { api: ["anthropic"], models: ["claude-*", "both"] },
    { api: ["openai"], models: ["gpt-*", "both"] },
  ];
  expect(promptEndpointOf(shown, model)).toBe(endpoint);
});
