import { describe, expect, inject, it } from "vitest";
import { callUpstream } from "../../../src/consumer/call.ts";
import type { MessageBatch } from "../../../src/wire/anthropic/message-batch.ts";
import type { BatchObject } from "../../../src/wire/batch.ts";
import { batchIdOf, messageBatchId } from "../../../src/wire/ids.ts";
import type { Summary } from "../../../src/wire/results.ts";
import { callGround } from "../../support/call-ground.ts";
import { upstreamAt } from "../../support/upstream.ts";
import {
  bodyOf,
  call,
  digestOf,
  ended,
  OTHER_KEY,
  open,
  patch,
  post,
  unique,
  until,
  upload,
} from "../../support/worker/client.ts";
import { receivedAt, upstreamOf } from "../../support/worker/faults.ts";
import {
  ask,
  BATCHES,
  create,
  endOf,
  lookAt,
  opened,
  refusalOf,
  request,
  resultsOf,
} from "../../support/worker/messages.ts";
import { newKey, newProject } from "../../support/worker/organization.ts";
import { unopened } from "../../support/worker/store.ts";

const HEX = "0190b0c0000070008000000000000000";
const cancel = (id: string) => ask(`${BATCHES}/${id}/cancel`, { method: "POST" });
const remove = (id: string) => ask(`${BATCHES}/${id}`, { method: "DELETE" });
const hanging = (count: number) =>
  Array.from({ length: count }, (_, index) => request(`h-${index}`, unique("[hang always]")));

describe("results", () => {
  it("have each request's own end, with Anthropic's errors", async () => {
    const requests = [
      ["good", unique("good")],
      ["refused", unique("[400]")],
      ["overloaded", unique("[529 always]")],
      ["broke", unique("[no money]")],
      ["hung", unique("[hang always]")],
      ["after-all", unique("[529 first]")],
    ] as const;
    const batch = await opened(requests.map(([id, prompt]) => request(id, prompt)));
    const end = await endOf(batch.id);
    expect(end.request_counts).toMatchObject({ succeeded: 2, errored: 4 });
    const lines = await resultsOf(end);
    const errored = (type: string, more: object = {}) => ({
      type: "errored",
      error: { type: "error", error: { type, message: expect.any(String), ...more } },
    });
    const results = Object.fromEntries(lines.map(({ custom_id, result }) => [custom_id, result]));
    expect(results).toMatchObject({
      good: { type: "succeeded", message: { type: "message", role: "assistant" } },
      refused: errored("invalid_request_error"),
      overloaded: errored("overloaded_error"),
      broke: errored("rate_limit_error", {
        details: { error_code: "enforced_spend_limit_reached" },
      }),
      hung: errored("timeout_error", { details: { error_code: "timeout" } }),
      "after-all": { type: "succeeded" },
    });
    expect(results.refused).toMatchObject({
      error: { request_id: expect.stringMatching(/^req_/) },
    });
    expect(results.hung).toMatchObject({ error: { request_id: null } });
    // Money is no matter of trying again.
    expect((await upstreamOf(requests[3][1])).calls).toBe(1);
  });

  it("are a 404 before the end", async () => {
    const { id } = await opened(hanging(1));
    const response = await ask(`${BATCHES}/${id}/results`);
    expect(response.status).toBe(404);
    expect((await refusalOf(response)).error).toMatchObject({
      type: "not_found_error",
      message: expect.stringContaining("has not ended"),
    });
    await cancel(id);
  });

  it.each([
    ["output", "output_file_id"],
    ["error", "error_file_id"],
  ] as const)(
    "that were deleted with the %s file are a 404, and the batch says when",
    async (_, file) => {
      const { id } = await opened([request("a", unique("a")), request("b", unique("[400]"))]);
      await endOf(id);
      const before: BatchObject = await (await call(`/v1/batches/${id}`)).json();
      await call(`/v1/files/${before[file]}`, { method: "DELETE" });
      const response = await ask(`${BATCHES}/${id}/results`);
      expect(response.status).toBe(404);
      expect((await refusalOf(response)).error).toMatchObject({
        type: "not_found_error",
        message: expect.stringContaining("were deleted at"),
      });
      const batch = await lookAt(id);
      expect(batch).toMatchObject({ processing_status: "ended", results_url: null });
      expect(batch.request_counts).toMatchObject({ succeeded: 1, errored: 1 });
      expect(Date.parse(batch.archived_at ?? "")).toBeGreaterThanOrEqual(
        Date.parse(batch.ended_at ?? ""),
      );
    },
  );

  it("keep the upstream's bytes, on one line", async () => {
    const end = await endOf((await opened([request("a", unique("[pretty]"))])).id);
    const response = await ask(new URL(end.results_url ?? "").pathname);
    expect(response.headers.get("content-type")).toBe("application/x-jsonl");
    const { text } = await bodyOf(response);
    expect(text.trimEnd()).not.toContain("\n");
    expect(text).toContain('"integer": 12345678901234567890,    "decimal": 1.10,');
  });

  it("are the same batch's at the native door", async () => {
    const prompt = unique("both doors");
    const cached = [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }];
    const { id } = await opened([request("a", prompt, { system: cached })]);
    await endOf(id);
    for (const name of [id, batchIdOf(id)]) {
      const summary: Summary = await (await call(`/v1/batches/${name}/results`)).json();
      expect(summary.success).toEqual([
        {
          task_id: "a",
          content: expect.stringContaining(await digestOf(`Be brief.\n${prompt}`)),
          usage: expect.objectContaining({ cache_read_input_tokens: 3 }),
          status: "success",
        },
      ]);
      const batch: BatchObject = await (await call(`/v1/batches/${name}`)).json();
      expect(batch).toMatchObject({ id: batchIdOf(id), endpoint: "/v1/messages", model: "claude" });
      expect(batch.usage.input_tokens_details.cached_tokens).toBe(3);
      expect(batch.usage.input_tokens).toBeGreaterThan(3);
      expect((await call(`/v1/batches/${name}/tasks/a`)).status).toBe(200);
    }
  });
});

describe("by its name at this door, a batch at the native door", () => {
  it("is changed, paused, resumed, followed, cancelled and retried", async () => {
    const { id } = await opened(hanging(2), { max_concurrency: 1 });
    const path = `/v1/batches/${id}`;
    const answers = [
      await patch(id, { priority: 90 }),
      await post(`${path}/pause`, ""),
      await post(`${path}/resume`, ""),
      await post(`${path}/cancel`, ""),
    ];
    await endOf(id);
    answers.push(
      await post(`${path}/retry`, ""),
      await call(`${path}/deliveries`),
      await post(`${path}/cancel`, ""),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(7).fill(200));
    expect(await answers[0]?.json()).toMatchObject({
      id: batchIdOf(id),
      muster: { priority: 90 },
    });
    await endOf(id);
    const events = await call(`${path}/events`);
    expect(events.status).toBe(200);
    expect(await events.text()).toContain("event: end");
  });
});

describe("cancel", () => {
  it("lets calls in flight finish, and cancels the rest", async () => {
    const requests = [
      ...hanging(1),
      ...Array.from({ length: 5 }, (_, n) => request(`n-${n}`, "n")),
    ];
    const { id } = await opened(requests, { max_concurrency: 1 });
    const canceling: MessageBatch = await (await cancel(id)).json();
    expect(canceling).toMatchObject({
      processing_status: "canceling",
      request_counts: { processing: 6, canceled: 0 },
      results_url: null,
    });
    expect(canceling.cancel_initiated_at).not.toBeNull();
    expect((await cancel(id)).status).toBe(200);
    const end = await endOf(id);
    expect(end.request_counts).toMatchObject({ processing: 0, canceled: 6 });
    expect((await resultsOf(end)).map(({ result }) => result)).toEqual(
      Array(6).fill({ type: "canceled" }),
    );
  });

  it("of one that has ended is refused", async () => {
    const { id } = await opened([request("a", unique("a"))]);
    await endOf(id);
    const response = await cancel(id);
    expect(response.status).toBe(400);
    expect((await refusalOf(response)).error.message).toContain("its processing has ended");
  });
});

describe("delete", () => {
  it("takes an ended batch away, at every door", async () => {
    const { id } = await opened([request("a", unique("a"))]);
    await endOf(id);
    const before: BatchObject = await (await call(`/v1/batches/${id}`)).json();
    const response = await remove(id);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ id, type: "message_batch_deleted" });
    const paths = [
      `${BATCHES}/${id}`,
      `${BATCHES}/${id}/results`,
      `/v1/batches/${id}`,
      `/v1/batches/${id}/results`,
      `/v1/batches/${id}/tasks/a`,
    ];
    for (const path of paths) expect((await call(path)).status).toBe(404);
    expect((await remove(id)).status).toBe(404);
    expect((await cancel(id)).status).toBe(404);
    expect((await call(`/v1/batches/${id}/retry`, { method: "POST" })).status).toBe(404);
    const list = await (await ask(`${BATCHES}?limit=1000`)).text();
    expect(list).not.toContain(id);
    await until(
      () => call(`/v1/files/${before.output_file_id}`),
      ({ status }) => status === 404,
    );
  });

  it("of one that is still processing is refused, and harms nothing", async () => {
    const { id } = await opened(hanging(1));
    const response = await remove(id);
    expect(response.status).toBe(400);
    expect((await refusalOf(response)).error.message).toContain("Cancel it first");
    await cancel(id);
    expect((await endOf(id)).request_counts.canceled).toBe(1);
    expect((await remove(id)).status).toBe(200);
  });
});

describe("a list", () => {
  it("has this endpoint's batches, the newest first, in pages of both directions", async () => {
    const made: string[] = [];
    for (let n = 0; n < 5; n += 1) {
      made.unshift((await opened([request("a", unique("a"))])).id);
      await open({ model: "m", prompts: [unique("not a message")] });
    }
    const page = async (query: string) => {
      const list: { data: MessageBatch[]; has_more: boolean; first_id: string; last_id: string } =
        await (await ask(`${BATCHES}?${query}`)).json();
      expect(list.first_id).toBe(list.data[0]?.id);
      expect(list.last_id).toBe(list.data.at(-1)?.id);
      return { ids: list.data.map(({ id }) => id), hasMore: list.has_more };
    };
    expect(await page("limit=2")).toEqual({ ids: made.slice(0, 2), hasMore: true });
    expect(await page(`limit=2&after_id=${made[1]}`)).toEqual({
      ids: made.slice(2, 4),
      hasMore: true,
    });
    expect(await page(`limit=2&before_id=${made[4]}`)).toEqual({
      ids: made.slice(2, 4),
      hasMore: true,
    });
    expect(await page(`limit=2&before_id=${made[2]}`)).toEqual({
      ids: made.slice(0, 2),
      hasMore: false,
    });
    // A batch that is gone is still a place in the list.
    await endOf(made[1] ?? "");
    await remove(made[1] ?? "");
    expect((await page(`limit=1&after_id=${made[1]}`)).ids).toEqual(made.slice(2, 3));
    const all = (await page("limit=1000")).ids;
    expect(all.slice(0, 4)).toEqual(made.filter((id) => id !== made[1]));
    expect(new Set(all).size).toBe(all.length);
  });

  it("is full in both directions although ids in the index have no batch", async () => {
    const { id: project } = await newProject();
    const key = (await newKey(project)).value;
    const body = JSON.stringify({ requests: hanging(1) });
    const made: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      await unopened(project, 3, "/v1/messages");
      const response = await ask(BATCHES, { method: "POST", body }, key);
      made.unshift((await response.json<MessageBatch>()).id);
    }
    await unopened(project, 3, "/v1/messages");
    const page = async (query: string) => {
      const list: { data: MessageBatch[]; has_more: boolean; first_id: string; last_id: string } =
        await (await ask(`${BATCHES}?${query}`, {}, key)).json();
      expect([list.first_id, list.last_id]).toEqual([list.data[0]?.id, list.data.at(-1)?.id]);
      return { ids: list.data.map(({ id }) => id), hasMore: list.has_more };
    };
    const [newest, middle, oldest] = made;
    expect(await page("limit=2")).toEqual({ ids: [newest, middle], hasMore: true });
    expect(await page(`limit=1&after_id=${middle}`)).toEqual({ ids: [oldest], hasMore: false });
    expect(await page(`limit=2&before_id=${oldest}`)).toEqual({
      ids: [newest, middle],
      hasMore: false,
    });
    expect(await page(`limit=1&before_id=${middle}`)).toEqual({ ids: [newest], hasMore: false });
    expect(await page(`limit=1&before_id=${oldest}`)).toEqual({ ids: [middle], hasMore: true });
    expect(await page("limit=4")).toEqual({ ids: made, hasMore: false });
  });

  it("is empty for a project that has none", async () => {
    const list = await (await ask(`${BATCHES}?limit=3`, {}, OTHER_KEY)).json();
    expect(list).toEqual({ data: [], has_more: false, first_id: null, last_id: null });
  });

  it.each([
    ["limit=0", "limit: "],
    ["limit=1001", "limit: "],
    ["limit=x", "limit: "],
    [`after_id=msgbatch_${HEX}`, "after_id: "],
    ["before_id=nothing", "before_id: "],
    [`before_id=a&after_id=b`, "before_id: takes no value beside after_id"],
  ])("with %s is refused by the parameter's name", async (query, message) => {
    const response = await ask(`${BATCHES}?${query}`);
    expect(response.status).toBe(400);
    expect((await refusalOf(response)).error.message).toContain(message);
  });
});

describe("an id", () => {
  const routes: [method: string, after: string][] = [
    ["GET", ""],
    ["DELETE", ""],
    ["POST", "/cancel"],
    ["GET", "/results"],
  ];

  it.each(routes)("of another project is as one of nobody: %s {id}%s", async (method, after) => {
    const theirs = await opened([request("a", unique("a"))]);
    await endOf(theirs.id);
    const answers = await Promise.all(
      [theirs.id, messageBatchId(`batch_${HEX}`)].map(async (id) => {
        const response = await ask(`${BATCHES}/${id}${after}`, { method }, OTHER_KEY);
        const text = await response.text();
        const requestId = response.headers.get("request-id") ?? "none";
        return { status: response.status, text: text.replace(id, "ID").replace(requestId, "REQ") };
      }),
    );
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]).toEqual({
      status: 404,
      text: '{"type":"error","error":{"type":"not_found_error","message":"No message batch with id \'ID\'."},"request_id":"REQ"}',
    });
    expect((await lookAt(theirs.id)).processing_status).toBe("ended");
  });

  it.each(routes)("of a batch of something else is none: %s {id}%s", async (method, after) => {
    const { id } = await open({ model: "m", prompts: [unique("a")] });
    await ended(id);
    for (const name of [id, messageBatchId(id), "x", "%00", "%E0%A4%A", "a".repeat(4_000)]) {
      const response = await ask(`${BATCHES}/${name}${after}`, { method });
      expect(response.status).toBe(404);
      expect((await refusalOf(response)).error.type).toBe("not_found_error");
    }
    expect((await call(`/v1/batches/${id}`)).status).toBe(200);
  });

  it("of a batch from a file is one like any other", async () => {
    const line = (id: string, prompt: string) =>
      JSON.stringify({
        custom_id: id,
        method: "POST",
        url: "/v1/messages",
        body: request(id, prompt).params,
      });
    const file = await upload([line("x y", unique("a")), line("z", unique("[400]"))].join("\n"));
    const made = await post("/v1/batches", { input_file_id: file.id, endpoint: "/v1/messages" });
    const { id }: { id: string } = await made.json();
    const end = await endOf(messageBatchId(id));
    expect(end.request_counts).toMatchObject({ succeeded: 1, errored: 1 });
    expect((await resultsOf(end)).map(({ custom_id }) => custom_id)).toEqual(["x y", "z"]);
    // Deleting the batch leaves its client's file alone.
    expect((await remove(end.id)).status).toBe(200);
    await until(
      () => ask(`${BATCHES}?limit=1000`).then((list) => list.text()),
      (list) => !list.includes(end.id),
    );
    expect((await call(`/v1/files/${file.id}`)).status).toBe(200);
  });

  it("of a batch whose file was wrong has ended, with nothing in it", async () => {
    const file = await upload("{");
    const made = await post("/v1/batches", { input_file_id: file.id, endpoint: "/v1/messages" });
    const { id }: { id: string } = await made.json();
    const end = await endOf(messageBatchId(id));
    expect(Object.values(end.request_counts)).toEqual([0, 0, 0, 0, 0]);
    expect(await resultsOf(end)).toEqual([]);
  });
});

describe("keys and headers", () => {
  it("are taken as x-api-key and as bearer, and refused in Anthropic's shape", async () => {
    expect((await ask(BATCHES)).status).toBe(200);
    expect((await call(BATCHES)).status).toBe(200);
    // One good key is enough, whichever header it is in.
    const both = { headers: { "x-api-key": "sk-unknown" } };
    expect((await call(BATCHES, both)).status).toBe(200);
    for (const key of ["sk-unknown", ""]) {
      const response = await ask(BATCHES, {}, key);
      expect(response.status).toBe(401);
      const { error } = await refusalOf(response);
      expect(error.type).toBe("authentication_error");
      expect(error.message).not.toContain("sk-unknown");
    }
  });

  it("x-api-key opens no other door", async () => {
    for (const path of ["/v1/batches", "/v1/files", "/v1/messagesbatches"]) {
      expect((await ask(path)).status).toBe(401);
    }
  });

  it("every answer names its request twice", async () => {
    for (const path of [BATCHES, `${BATCHES}/x`, "/v1/messages"]) {
      const { headers } = await ask(path);
      expect(headers.get("request-id")).toMatch(/^req_/);
      expect(headers.get("x-request-id")).toBe(headers.get("request-id"));
    }
  });

  it("routes that there are not are told in Anthropic's shape", async () => {
    const none = await ask("/v1/messages/none", { method: "POST", body: "{}" });
    expect(none.status).toBe(404);
    expect((await refusalOf(none)).error.type).toBe("not_found_error");
    const method = await ask(BATCHES, { method: "PUT" });
    expect(method.status).toBe(405);
    expect((await refusalOf(method)).error.message).toContain("it takes POST, GET, HEAD");
    const twice: { error: { message: string } } = await (await call(`/v1${BATCHES}`)).json();
    expect(twice.error.message).toContain("leave it out of their base URL");
  });

  it("go with every call: the version and the betas, and the upstream's key alone", async () => {
    const { id } = await (
      await create(
        [request("a", unique("a"))],
        {},
        { "anthropic-version": "2026-10-21", "anthropic-beta": "b-1,b-2" },
      )
    ).json<{ id: string }>();
    await endOf(id);
    // What a batch hands out is tried above; what a call sends, at a server that tells.
    const upstream = upstreamAt(`${inject("receiverUrl")}/ok/headers`, undefined, {
      apis: ["anthropic"],
      apiKey: "sk-direct",
    });
    const task = { seq: 0, attempt: 1, upstream: "default", body: "{}", startInMs: 0 };
    const headers = { "anthropic-version": "2026-10-21", "anthropic-beta": "b-1" };
    for (const said of [headers, undefined]) {
      await callUpstream({ ...task, headers: said }, "/v1/messages", upstream, callGround());
    }
    const received = await receivedAt("/ok/headers/v1/messages");
    expect(received.map((one) => one.headers)).toMatchObject([
      { ...headers, "x-api-key": "sk-direct" },
      { "anthropic-version": "2023-06-01", "x-api-key": "sk-direct" },
    ]);
    for (const one of received) expect(one.headers).not.toHaveProperty("authorization");
  });
});
