import Anthropic, { AnthropicError } from "@anthropic-ai/sdk";
import type {
  BatchCreateParams,
  MessageBatch,
  MessageBatchIndividualResponse,
} from "@anthropic-ai/sdk/resources/messages/batches";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { promptDigest } from "../../src/simulator/index.ts";
import { type LossyProxy, startLossyProxy } from "../support/lossy-proxy.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { questions } from "../support/requests.ts";
import { until } from "../support/wait.ts";

/** `client.messages.batches` of the official client, unmodified but for its baseURL. */

let muster: Running;
let client: Anthropic;
/** Requests that the client made, those it repeated by itself too. */
let sent = 0;

beforeAll(async () => {
  muster = await startTestMuster(
    {
      apiKey: "sk-ant-upstream",
      faults: [
        { kind: "status", code: 529, rate: 0.1, attempts: "first" },
        { kind: "status", code: 400, match: "[refused]", attempts: "always" },
        { kind: "status", code: 529, match: "[overloaded]", attempts: "always" },
        { kind: "insufficient_quota", match: "[no money]", attempts: "always" },
        { kind: "reset", match: "[reset]", attempts: "always" },
        { kind: "pretty", match: "[pretty]", attempts: "always" },
        { kind: "pretty", match: "[slow]", attempts: "always", afterMs: 1_500 },
      ],
    },
    { UPSTREAM_API_KEY: "sk-ant-upstream", RETRY_MAX_ATTEMPTS: "3", RETRY_BASE_MS: "1" },
  );
  const fetch: typeof globalThis.fetch = (...args) => {
    sent += 1;
    return muster.fetch(...args);
  };
  client = new Anthropic({ baseURL: origin(), apiKey: muster.apiKey, fetch });
});
afterAll(() => muster.stop());
beforeEach(() => {
  sent = 0;
});

/** The base of Anthropic's clients, which add /v1 themselves. */
const origin = () => muster.url.replace(/\/v1$/, "");

type Request = BatchCreateParams.Request;

const request = (custom_id: string, content: string, more: object = {}): Request => ({
  custom_id,
  params: {
    model: "claude-sonnet-5",
    max_tokens: 200,
    messages: [{ role: "user", content }],
    ...more,
  },
});

const ended = (id: string): Promise<MessageBatch> =>
  until(
    () => client.messages.batches.retrieve(id),
    ({ processing_status }) => processing_status === "ended",
  );

async function resultsOf(id: string): Promise<MessageBatchIndividualResponse[]> {
  const results: MessageBatchIndividualResponse[] = [];
  for await (const result of await client.messages.batches.results(id)) results.push(result);
  return results;
}

/** The text of a request's answer; it must have one. */
function textOf({ result }: MessageBatchIndividualResponse): string {
  if (result.type !== "succeeded") throw new Error(JSON.stringify(result));
  const [block] = result.message.content;
  return block?.type === "text" ? block.text : "";
}

const digestOf = ({ params }: Request): string =>
  promptDigest("/v1/messages", params as unknown as Record<string, unknown>);

describe("a batch", () => {
  it("runs from creation to results, each request with its own answer", async () => {
    const asked = [
      ...questions(40),
      "空はなぜ青いのですか？",
      '改行\nと「引用符"」と\\バックスラッシュ',
      "🐑🐑🐑 👩‍👩‍👧‍👦 \u2028 \u0000",
    ];
    const requests = asked.map((question, index) => request(`q_${index}`, question));
    const batch = await client.messages.batches.create({ requests });
    expect(batch).toEqual({
      id: expect.stringMatching(/^msgbatch_/),
      type: "message_batch",
      processing_status: "in_progress",
      request_counts: { processing: 43, succeeded: 0, errored: 0, canceled: 0, expired: 0 },
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/),
      expires_at: expect.any(String),
      ended_at: null,
      cancel_initiated_at: null,
      archived_at: null,
      results_url: null,
    } satisfies Record<keyof MessageBatch, unknown>);
    expect(Date.parse(batch.expires_at) - Date.parse(batch.created_at)).toBe(24 * 3_600_000);

    const end = await ended(batch.id);
    expect(end).toMatchObject({
      id: batch.id,
      created_at: batch.created_at,
      request_counts: { processing: 0, succeeded: 43, errored: 0, canceled: 0, expired: 0 },
      results_url: `${origin()}/v1/messages/batches/${batch.id}/results`,
    });
    expect(Date.parse(end.ended_at ?? "")).toBeGreaterThanOrEqual(Date.parse(end.created_at));

    const results = await resultsOf(batch.id);
    const byId = new Map(results.map((result) => [result.custom_id, result]));
    expect(byId.size).toBe(43);
    for (const one of requests) {
      expect(textOf(byId.get(one.custom_id) ?? expect.fail())).toContain(`digest:${digestOf(one)}`);
    }
    const [first] = results;
    if (first?.result.type !== "succeeded") throw new Error("it failed");
    expect(first.result.message).toMatchObject({
      type: "message",
      role: "assistant",
      model: "claude-sonnet-5",
      stop_reason: "end_turn",
    });
    expect(first.result.message.usage.output_tokens).toBeGreaterThan(0);
  });

  it("counts nothing but what is processing until its end", async () => {
    const fast = Array.from({ length: 5 }, (_, n) => request(`fast-${n}`, `fast ${n}`));
    const requests = [...fast, request("slow", "[slow] counts")];
    const { id } = await client.messages.batches.create({ requests });
    await until(
      async () =>
        (await muster.get(`/batches/${id}`)).json() as Promise<{
          request_counts: { completed: number };
        }>,
      ({ request_counts }) => request_counts.completed === 5,
    );
    const { request_counts } = await client.messages.batches.retrieve(id);
    expect(request_counts).toEqual({
      processing: 6,
      succeeded: 0,
      errored: 0,
      canceled: 0,
      expired: 0,
    });
    expect((await ended(id)).request_counts).toMatchObject({ processing: 0, succeeded: 6 });
  });

  it("has no results before its end: the client says so, and the door is a 404", async () => {
    const { id } = await client.messages.batches.create({
      requests: [request("a", "[slow] early")],
    });
    const early = client.messages.batches.results(id);
    await expect(early).rejects.toThrow(AnthropicError);
    await expect(client.get(`/v1/messages/batches/${id}/results`)).rejects.toMatchObject({
      status: 404,
      type: "not_found_error",
      apiMessage: expect.stringContaining("has not ended"),
    });
    await ended(id);
    expect(await resultsOf(id)).toHaveLength(1);
  });

  it("keeps what failed as errors of Anthropic's types, with the upstream's words", async () => {
    const requests = [
      request("refused", "[refused]"),
      request("overloaded", "[overloaded]"),
      request("no-money", "[no money]"),
      request("reset", "[reset]"),
      request("no-max-tokens", "a", { max_tokens: undefined }),
      request("good", "good"),
    ];
    const { id } = await client.messages.batches.create({ requests });
    const end = await ended(id);
    expect(end.request_counts).toMatchObject({ succeeded: 1, errored: 5 });
    const errors = Object.fromEntries(
      (await resultsOf(id)).map(({ custom_id, result }) => [
        custom_id,
        result.type === "errored" ? result.error : result.type,
      ]),
    );
    const error = (type: string, message: unknown = expect.any(String)) => ({
      type: "error",
      error: expect.objectContaining({ type, message }),
      request_id: expect.stringMatching(/^req_/),
    });
    expect(errors).toEqual({
      refused: error("invalid_request_error"),
      overloaded: error("overloaded_error"),
      "no-money": error("rate_limit_error"),
      reset: { ...error("api_error"), request_id: null },
      "no-max-tokens": error("invalid_request_error", expect.stringContaining("max_tokens")),
      good: "succeeded",
    });
  });

  it("passes numbers and members on that JavaScript would change", async () => {
    const { id } = await client.messages.batches.create({ requests: [request("a", "[pretty]")] });
    const { results_url } = await ended(id);
    const headers = { "x-api-key": muster.apiKey };
    const text = await (await fetch(results_url ?? "", { headers })).text();
    expect(text).toContain('"integer": 12345678901234567890,');
    expect(text.trimEnd()).not.toContain("\n");
  });

  it("of 30 MB goes in as a stream and comes out as one", async () => {
    const filler = "長い文章。".repeat(700);
    const requests = Array.from({ length: 3_000 }, (_, n) => request(`n${n}`, `${n} ${filler}`));
    expect(JSON.stringify({ requests }).length).toBeGreaterThan(10_000_000);
    const batch = await client.messages.batches.create({ requests });
    expect(sent).toBe(1);
    expect(batch.request_counts.processing).toBe(3_000);
    expect((await ended(batch.id)).request_counts).toMatchObject({ succeeded: 3_000 });
    let seen = 0;
    for await (const result of await client.messages.batches.results(batch.id)) {
      const one = requests[Number(result.custom_id.slice(1))] ?? expect.fail();
      if (!textOf(result).includes(digestOf(one))) expect.fail(`${result.custom_id} is another's`);
      seen += 1;
    }
    expect(seen).toBe(3_000);
    // Whoever has seen enough may stop.
    for await (const _ of await client.messages.batches.results(batch.id)) break;
    await client.messages.batches.delete(batch.id);
  }, 240_000);

  it("is opened once when the reply to its creation is lost", async () => {
    const proxy: LossyProxy = await startLossyProxy(() => muster.url);
    try {
      const beside = client.withOptions({ baseURL: proxy.url });
      proxy.loseReplies("POST", "/v1/messages/batches", 1);
      const requests = [request("a", "a lost reply")];
      const { id } = await beside.messages.batches.create({ requests });
      expect(proxy.passed.filter((one) => one.startsWith("POST"))).toHaveLength(2);
      const { data } = await client.messages.batches.list({ limit: 2 });
      expect(data[0]?.id).toBe(id);
      await ended(id);
      expect(muster.simulator.stats().byStatus[200]).toBeGreaterThan(0);
      expect(data[1]?.id).not.toBe(id);
      expect(await resultsOf(id)).toHaveLength(1);
    } finally {
      await proxy.close();
    }
  });
});

describe("cancel", () => {
  it("lets what is in flight finish, and cancels the rest", async () => {
    const slow = Array.from({ length: 60 }, (_, n) => request(`s-${n}`, `[slow] cancel ${n}`));
    const { id } = await client.messages.batches.create({ requests: slow });
    await until(
      () => Promise.resolve(muster.simulator.stats()),
      ({ inFlight }) => inFlight > 0,
    );
    const canceling = await client.messages.batches.cancel(id);
    expect(canceling).toMatchObject({
      processing_status: "canceling",
      request_counts: { processing: 60, canceled: 0 },
      results_url: null,
    });
    expect(Date.parse(canceling.cancel_initiated_at ?? "")).not.toBeNaN();
    expect((await client.messages.batches.cancel(id)).processing_status).toBe("canceling");
    const end = await ended(id);
    const { succeeded, canceled, processing } = end.request_counts;
    expect([processing, succeeded + canceled]).toEqual([0, 60]);
    expect(succeeded).toBeGreaterThan(0);
    expect(canceled).toBeGreaterThan(0);
    expect(end.cancel_initiated_at).toBe(canceling.cancel_initiated_at);
    const types = (await resultsOf(id)).map(({ result }) => result.type);
    expect(types.filter((type) => type === "canceled")).toHaveLength(canceled);
    expect(types.filter((type) => type === "succeeded")).toHaveLength(succeeded);
  });

  it("of one that has ended is a 400, and nothing the client repeats", async () => {
    const { id } = await client.messages.batches.create({ requests: [request("a", "ended")] });
    await ended(id);
    sent = 0;
    const refused = client.messages.batches.cancel(id);
    await expect(refused).rejects.toBeInstanceOf(Anthropic.BadRequestError);
    expect(sent).toBe(1);
  });
});

describe("delete", () => {
  it("takes a batch that has ended away for good", async () => {
    const { id } = await client.messages.batches.create({ requests: [request("a", "delete me")] });
    await ended(id);
    expect(await client.messages.batches.delete(id)).toEqual({ id, type: "message_batch_deleted" });
    for (const again of [
      () => client.messages.batches.retrieve(id),
      () => client.messages.batches.results(id),
      () => client.messages.batches.cancel(id),
      () => client.messages.batches.delete(id),
    ]) {
      await expect(again()).rejects.toBeInstanceOf(Anthropic.NotFoundError);
    }
    for await (const batch of client.messages.batches.list()) expect(batch.id).not.toBe(id);
  });

  it("of one that is processing is a 400", async () => {
    const { id } = await client.messages.batches.create({ requests: [request("a", "[slow] del")] });
    await expect(client.messages.batches.delete(id)).rejects.toMatchObject({
      status: 400,
      type: "invalid_request_error",
    });
    await ended(id);
  });
});

describe("list", () => {
  it("pages through all batches by itself, forwards and backwards", async () => {
    const made: string[] = [];
    for (let n = 0; n < 5; n += 1) {
      const requests = [request("only", `list ${n}`)];
      made.unshift((await client.messages.batches.create({ requests })).id);
    }
    const listed: string[] = [];
    for await (const { id, type } of client.messages.batches.list({ limit: 2 })) {
      expect(type).toBe("message_batch");
      listed.push(id);
    }
    expect(listed.slice(0, 5)).toEqual(made);
    expect(new Set(listed).size).toBe(listed.length);

    const after = await client.messages.batches.list({ limit: 2, after_id: made[1] as string });
    expect(after.data.map(({ id }) => id)).toEqual(made.slice(2, 4));
    expect(after).toMatchObject({ has_more: true, first_id: made[2], last_id: made[3] });
    const back: string[] = [];
    let page = await client.messages.batches.list({ limit: 2, before_id: made[4] as string });
    for (;;) {
      back.unshift(...page.data.map(({ id }) => id));
      if (!page.hasNextPage()) break;
      page = await page.getNextPage();
    }
    expect(back).toEqual(made.slice(0, 4));
  });

  it("has batches of messages alone, while Muster's own list has them all", async () => {
    const other = await muster.post("/batches", {
      model: "gpt-4o-mini",
      prompts: ["not a message"],
    });
    const { id } = (await other.json()) as { id: string };
    const { data } = await client.messages.batches.list();
    expect(JSON.stringify(data)).not.toContain(id.slice("batch_".length));
    const all = await (await muster.get("/batches?limit=100")).text();
    expect(all).toContain(id);
    expect(all).toContain(data[0]?.id.slice("msg".length));
  });
});

describe("the beta client", () => {
  it("has the same batches", async () => {
    const batch = await client.beta.messages.batches.create({
      betas: ["files-api-2025-04-14"],
      requests: [
        {
          custom_id: "a",
          params: {
            model: "claude-sonnet-5",
            max_tokens: 100,
            messages: [{ role: "user", content: "beta" }],
          },
        },
      ],
    });
    await ended(batch.id);
    const results = [];
    for await (const one of await client.beta.messages.batches.results(batch.id)) results.push(one);
    expect(results).toMatchObject([{ custom_id: "a", result: { type: "succeeded" } }]);
    for await (const { id } of client.beta.messages.batches.list({ limit: 1 })) {
      expect(id).toBe(batch.id);
      break;
    }
    await client.beta.messages.batches.delete(batch.id);
  });
});

describe("prompts at Muster's own door", () => {
  it("are batches of messages, if they say so", async () => {
    const made = await muster.post("/batches", {
      endpoint: "/v1/messages",
      model: "claude-sonnet-5",
      prompts: ["Why?", "なぜ？"],
      max_tokens: 100,
    });
    expect(made.status).toBe(202);
    const { id } = (await made.json()) as { id: string };
    const mine = await ended(`msg${id}`);
    expect(mine.request_counts.succeeded).toBe(2);
    expect((await resultsOf(mine.id)).map(({ custom_id }) => custom_id)).toEqual([
      "task-0",
      "task-1",
    ]);
    const summary = await (await muster.get(`/batches/${mine.id}/results`)).json();
    expect(summary).toMatchObject({
      success_count: 2,
      success: [{ content: expect.stringMatching(/^digest:/) }, { task_id: "task-1" }],
    });
  });
});

describe("what is wrong", () => {
  const refusal = (params: unknown) =>
    client.messages.batches.create(params as BatchCreateParams).then(
      () => expect.fail("it was taken"),
      (error: unknown) => {
        expect(error).toBeInstanceOf(Anthropic.BadRequestError);
        return error as InstanceType<typeof Anthropic.BadRequestError>;
      },
    );

  it.each([
    ["no requests", { requests: [] }, "requests: "],
    ["a custom_id of 65", { requests: [request("x".repeat(65), "a")] }, "requests.0.custom_id: "],
    [
      "a custom_id twice",
      { requests: [request("a", "a"), request("b", "b"), request("a", "c")] },
      "requests.2.custom_id: ",
    ],
    ["a stream", { requests: [request("a", "a", { stream: true })] }, "requests.0.params.stream"],
    ["no params", { requests: [{ custom_id: "a" }] }, "requests.0.params: "],
  ])("%s is a 400 that names it, and calls nothing", async (_, params, message) => {
    const before = muster.simulator.stats().calls;
    const error = await refusal(params);
    expect(error).toMatchObject({
      status: 400,
      type: "invalid_request_error",
      apiMessage: expect.stringContaining(message),
      requestID: expect.stringMatching(/^req_/),
    });
    expect(error.error).toMatchObject({ type: "error", request_id: error.requestID });
    expect(sent).toBe(1);
    expect(muster.simulator.stats().calls).toBe(before);
  });

  it("an unknown id, a wrong key and an unknown route have the client's own classes", async () => {
    const unknown = `msgbatch_${"0".repeat(32)}`;
    await expect(client.messages.batches.retrieve(unknown)).rejects.toBeInstanceOf(
      Anthropic.NotFoundError,
    );
    const stranger = client.withOptions({ apiKey: "sk-wrong" });
    await expect(stranger.messages.batches.list()).rejects.toMatchObject({
      status: 401,
      type: "authentication_error",
    });
    await expect(client.post("/v1/messages/nothing")).rejects.toBeInstanceOf(
      Anthropic.NotFoundError,
    );
    const twice = client.withOptions({ baseURL: muster.url });
    await expect(twice.messages.batches.list()).rejects.toThrow("leave it out of their base URL");
  });

  it("the key may come in either header, and goes to nobody else", async () => {
    const defaultHeaders = { "x-api-key": muster.apiKey, authorization: null };
    const other = client.withOptions({ apiKey: null, authToken: null, defaultHeaders });
    expect((await other.messages.batches.list()).data.length).toBeGreaterThan(0);
    expect(Object.keys(muster.simulator.stats().authorizations).toSorted()).toEqual([
      "Bearer sk-ant-upstream",
      "x-api-key: sk-ant-upstream",
    ]);
  });
});

describe("a single call", () => {
  const messages = [{ role: "user" as const, content: "a heron, alone" }];
  const asked = { model: "claude-sonnet-5", max_tokens: 200, messages };

  it("comes back as the upstream answers it, whole or as a stream", async () => {
    const digest = promptDigest("/v1/messages", asked);
    const message = await client.messages.create(asked);
    expect(message.content[0]).toMatchObject({ type: "text" });
    expect(JSON.stringify(message.content)).toContain(`digest:${digest}`);
    expect(message._request_id).toMatch(/^req_/);
    const streamed = await client.messages.stream(asked).finalMessage();
    expect(streamed.content).toMatchObject([{ type: "text" }]);
    expect(JSON.stringify(streamed.content)).toContain(`digest:${digest}`);
    const beta = await client.beta.messages.create({ ...asked, betas: ["some-beta"] });
    expect(beta.stop_reason).toBe("end_turn");
  });

  it("is refused in the client's error type", async () => {
    const content = "[refused]";
    const refused = client.messages.create({ ...asked, messages: [{ role: "user", content }] });
    await expect(refused).rejects.toBeInstanceOf(Anthropic.BadRequestError);
    const stranger = client.withOptions({ apiKey: "sk-wrong" });
    await expect(stranger.messages.create(asked)).rejects.toBeInstanceOf(
      Anthropic.AuthenticationError,
    );
  });
});
