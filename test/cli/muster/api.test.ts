import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Api, createApi } from "../../../src/cli/muster/api.ts";
import { EXIT } from "../../../src/cli/muster/exit.ts";
import { follow } from "../../../src/cli/muster/follow.ts";
import { steer } from "../../../src/cli/muster/look.ts";
import { terminal } from "../../../src/cli/muster/terminal.ts";

type Reply = [status: number, body: object, headers?: Record<string, string>];

const NONE = { pending: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0, expired: 0 };
const RUNS = { status: "in_progress", request_counts: { total: 1 }, muster: { counts: NONE } };
const refusal = (message: string) => ({ error: { message, type: "x", code: null, param: null } });

let server: Server;
let api: Api;
let replies: Reply[];
let asked: { path: string; body: string }[];
let said: string[];
const signal = new AbortController().signal;

beforeEach(async () => {
  [replies, asked, said] = [[], [], []];
  server = createServer(async (incoming, outgoing) => {
    let body = "";
    for await (const text of incoming.setEncoding("utf8")) body += text;
    asked.push({ path: incoming.url ?? "", body });
    const [status, answer, headers] = replies.shift() ?? [200, {}];
    outgoing.writeHead(status, headers).end(JSON.stringify(answer));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  api = createApi({ url: `http://127.0.0.1:${port}`, key: "k" }, signal, (line) => said.push(line));
});
afterEach(() => server.close());

describe("too many requests", () => {
  test("are waited for as long as Muster says, and sent again", async () => {
    const slow: Reply = [429, refusal("Slow down."), { "retry-after": "1" }];
    replies = [slow, slow, [200, { fine: true }]];
    expect(await api.json("/v1/batches", { method: "POST", body: "{}" })).toEqual({ fine: true });
    expect(asked.map(({ body }) => body)).toEqual(["{}", "{}", "{}"]);
    expect(said).toHaveLength(2);
    expect(said[0]).toContain("going on in 1 s");
  });

  test.each([
    ["a quota that no time refills", {}],
    ["an hour", { "retry-after": "3600" }],
  ])("because of %s are told of at once", async (_, headers) => {
    replies = [[429, refusal("Used up."), headers]];
    await expect(api.json("/v1/batches")).rejects.toMatchObject({ message: "Used up." });
    expect(asked).toHaveLength(1);
  });
});

test("a batch that can't be followed any more is named, with what goes on", async () => {
  replies = [
    [200, RUNS],
    [500, refusal("Broken.")],
  ];
  await expect(follow(api, "batch_1", terminal(true), signal)).rejects.toMatchObject({
    code: EXIT.error,
    message: "Broken.\nThe batch goes on without you: npx muster watch batch_1 follows it again.",
  });
});

describe("what was typed for an id", () => {
  test("stays one segment of the path", async () => {
    replies = [[404, refusal("No such batch.")]];
    await expect(follow(api, "../files?a=1", terminal(true), signal)).rejects.toMatchObject({
      message: "No such batch.",
    });
    expect(asked).toEqual([{ path: "/v1/batches/..%2Ffiles%3Fa%3D1", body: "" }]);
  });
});

describe("a retry", () => {
  const context = () => ({ api, terminal: terminal(true), signal, json: true });

  test("takes a higher budget, or none", async () => {
    await steer(context(), "b", "retry", { maxTokensTotal: "5000", maxCost: "none" });
    expect(asked).toEqual([
      { path: "/v1/batches/b/retry", body: '{"max_tokens_total":5000,"max_cost":null}' },
    ]);
  });

  test("refuses a budget that is no number, and sends nothing", async () => {
    await expect(steer(context(), "b", "retry", { maxCost: "much" })).rejects.toMatchObject({
      code: EXIT.usage,
      message: "--max-cost takes a number, or none.",
    });
    expect(asked).toEqual([]);
  });
});
