import { expect, test } from "vitest";
import { askingMuster } from "../../../src/cli/muster/prompt-endpoint.ts";

/** A Muster that answers with these upstreams, or not at all, and counts how often it is asked. */
function musterWith(upstreams: object[] | undefined) {
  const asked: string[] = [];
  const json = async <T>(path: string): Promise<T> => {
    asked.push(path);
    if (upstreams === undefined) throw new Error("refused");
    return { object: "list", data: upstreams } as T;
  };
  return { asked, json };
}

const CLAUDE = { api: ["anthropic"], models: ["claude-*"] };

test("prompts go to /v1/messages where their model is served there alone, and that is said", async () => {
  const muster = musterWith([CLAUDE]);
  const said: string[] = [];
  const endpointOf = askingMuster(muster, (line) => said.push(line));
  expect(await endpointOf("claude-x")).toBe("/v1/messages");
  expect(said).toEqual([expect.stringContaining("max_tokens is 1024 unless --max-tokens")]);
});

test("the first prompt decides, and Muster is asked once", async () => {
  const muster = musterWith([CLAUDE]);
  const endpointOf = askingMuster(muster, () => undefined);
  expect(await endpointOf("gpt")).toBe("/v1/chat/completions");
  expect(await endpointOf("claude-x")).toBe("/v1/chat/completions");
  expect(muster.asked).toEqual(["/v1/upstreams"]);
});

test("prompts go to /v1/chat/completions when Muster does not say", async () => {
  const endpointOf = askingMuster(musterWith(undefined), () => undefined);
  expect(await endpointOf("claude-x")).toBe("/v1/chat/completions");
});
