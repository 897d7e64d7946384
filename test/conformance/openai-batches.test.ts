import OpenAI, { AuthenticationError, BadRequestError, NotFoundError, toFile } from "openai";
import type { Batch, BatchCreateParams } from "openai/resources/batches";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { promptDigest } from "../../src/simulator/index.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import {
  chatLine,
  jsonl,
  lineOf,
  type OutputLine,
  questions,
  readLines,
} from "../support/requests.ts";
import { until } from "../support/wait.ts";

/** `client.batches` of the official client, unmodified, with another baseURL. */

let muster: Running;
let client: OpenAI;
/** Requests that the client made, those it repeated by itself too. */
let sent = 0;

beforeAll(async () => {
  muster = await startTestMuster(
    {
      faults: [
        { kind: "status", code: 500, rate: 0.1, attempts: "first" },
        { kind: "status", code: 400, match: "[refused]", attempts: "always" },
        { kind: "reset", match: "[reset]", attempts: "always" },
      ],
    },
    { RETRY_MAX_ATTEMPTS: "3", RETRY_BASE_MS: "1" },
  );
  const fetch: typeof globalThis.fetch = (...args) => {
    sent += 1;
    return muster.fetch(...args);
  };
  client = new OpenAI({ baseURL: muster.url, apiKey: muster.apiKey, fetch });
});
afterAll(() => muster.stop());

const CHAT = { endpoint: "/v1/chat/completions", completion_window: "24h" } as const;

async function upload(text: string): Promise<string> {
  const file = await toFile(Buffer.from(text), "batch.jsonl");
  return (await client.files.create({ file, purpose: "batch" })).id;
}

async function create(text: string, more: Partial<BatchCreateParams> = {}): Promise<Batch> {
  return client.batches.create({ input_file_id: await upload(text), ...CHAT, ...more });
}

const ended = (id: string) =>
  until(
    () => client.batches.retrieve(id),
    ({ status }) => ["completed", "failed", "expired", "cancelled"].includes(status),
  );

async function linesOf(fileId: string | undefined | null): Promise<OutputLine[]> {
  return readLines(await (await client.files.content(fileId ?? "")).text());
}

describe("a batch", () => {
  it("runs a file, and ends with an output and an error file", async () => {
    const asked = [...questions(50), "[refused] no answer for this one", "[reset] nor this"];
    const input_file_id = await upload(jsonl(asked.map((q, index) => chatLine(`q-${index}`, q))));
    const metadata = { run: "conformance" };
    const batch = await client.batches.create({ input_file_id, ...CHAT, metadata });
    expect(batch).toMatchObject({
      id: expect.stringMatching(/^batch_/),
      object: "batch",
      input_file_id,
      ...CHAT,
      status: "validating",
      metadata,
      expires_at: batch.created_at + 86_400,
      output_file_id: null,
      error_file_id: null,
      request_counts: { total: 0, completed: 0, failed: 0 },
    });
    expect(batch._request_id).toMatch(/^req_/);

    const end = await ended(batch.id);
    expect(end).toMatchObject({
      status: "completed",
      model: "gpt-4o-mini",
      errors: null,
      request_counts: { total: 52, completed: 50, failed: 2 },
      metadata,
    });
    const times = [end.created_at, end.in_progress_at, end.finalizing_at, end.completed_at];
    expect(times.every((time) => Number.isInteger(time))).toBe(true);
    expect(times.toSorted()).toEqual(times);

    const lines = await linesOf(end.output_file_id);
    expect(lines.map(({ custom_id }) => custom_id)).toEqual(
      asked.slice(0, 50).map((_, index) => `q-${index}`),
    );
    for (const line of lines) {
      const { body } = chatLine("", asked[Number(line.custom_id.slice(2))] ?? "");
      expect(line.id).toMatch(/^batch_req_/);
      expect(line.error).toBeNull();
      expect(line.response).toMatchObject({ status_code: 200, request_id: expect.any(String) });
      expect(JSON.stringify(line.response?.body)).toContain(
        `digest:${promptDigest("/v1/chat/completions", body)}`,
      );
    }
    for (const [id, kind] of [
      [end.output_file_id, "output"],
      [end.error_file_id, "error"],
    ] as const) {
      const content = await (await client.files.content(id ?? "")).arrayBuffer();
      expect(await client.files.retrieve(id ?? "")).toMatchObject({
        purpose: "batch_output",
        filename: `${batch.id}_${kind}.jsonl`,
        bytes: content.byteLength,
      });
    }
    const [refused, unanswered] = await linesOf(end.error_file_id);
    expect(refused).toMatchObject({
      custom_id: "q-50",
      response: { status_code: 400, body: { error: { type: "invalid_request_error" } } },
      error: null,
    });
    expect(unanswered).toMatchObject({
      custom_id: "q-51",
      response: null,
      error: { code: "connection_error", message: expect.stringMatching(/\S/) },
    });
  });

  it("passes bodies to the upstream, and answers back, as they are: every endpoint", async () => {
    // A type error here is an endpoint that the client's union has and this list has not.
    const bodies: Record<BatchCreateParams["endpoint"], Record<string, unknown>> = {
      "/v1/chat/completions": { messages: [{ role: "user", content: "one heron" }] },
      "/v1/responses": { input: "two herons" },
      "/v1/embeddings": { input: "three herons" },
      "/v1/completions": { prompt: "four herons" },
      "/v1/moderations": { input: "five herons" },
      "/v1/images/generations": { prompt: "six herons" },
      "/v1/images/edits": { prompt: "seven herons", images: [{ image_url: "https://x.test/a" }] },
      "/v1/videos": { prompt: "eight herons" },
    };
    const isEndpoint = (name: string): name is BatchCreateParams["endpoint"] => name in bodies;
    await Promise.all(
      Object.keys(bodies)
        .filter(isEndpoint)
        .map(async (endpoint) => {
          const body = { model: "any-model", ...bodies[endpoint] };
          const { id } = await create(jsonl([lineOf("a", body, endpoint)]), { endpoint });
          const end = await ended(id);
          expect(end).toMatchObject({ endpoint, request_counts: { total: 1, completed: 1 } });
          const [line] = await linesOf(end.output_file_id);
          const answer = line?.response?.body ?? {};
          const [picture] = z
            .array(z.object({ b64_json: z.string() }))
            .catch([])
            .parse(answer.data);
          const text = Buffer.from(picture?.b64_json ?? "", "base64").toString();
          expect(JSON.stringify(answer) + text).toContain(promptDigest(endpoint, body));
        }),
    );
  });

  it("adds up usage, with what was cached and what was reasoning", async () => {
    const long = chatLine("long", "y".repeat(5_000));
    const thought = lineOf("thought", {
      model: "o3",
      messages: [{ role: "user", content: "why not" }],
    });
    const end = await ended((await create(jsonl([chatLine("short", "why"), long, thought]))).id);
    const usageOf = z.object({
      prompt_tokens: z.number(),
      completion_tokens: z.number(),
      total_tokens: z.number(),
      prompt_tokens_details: z.object({ cached_tokens: z.number() }),
      completion_tokens_details: z.object({ reasoning_tokens: z.number() }),
    });
    const used = (await linesOf(end.output_file_id)).map((line) =>
      usageOf.parse(line.response?.body.usage),
    );
    const sum = (of: (usage: z.infer<typeof usageOf>) => number) =>
      used.reduce((total, one) => total + of(one), 0);
    expect(end.usage).toEqual({
      input_tokens: sum((one) => one.prompt_tokens),
      input_tokens_details: {
        cached_tokens: sum((one) => one.prompt_tokens_details.cached_tokens),
      },
      output_tokens: sum((one) => one.completion_tokens),
      output_tokens_details: {
        reasoning_tokens: sum((one) => one.completion_tokens_details.reasoning_tokens),
      },
      total_tokens: sum((one) => one.total_tokens),
    });
    expect(end.usage?.input_tokens_details.cached_tokens).toBeGreaterThan(0);
    expect(end.usage?.output_tokens_details.reasoning_tokens).toBeGreaterThan(0);
    // Two models: the batch has none.
    expect(end.model).toBeNull();
  });

  it("shows when its files expire", async () => {
    const expires = { anchor: "created_at", seconds: 7_200 } as const;
    const text = jsonl([chatLine("a", "why"), chatLine("b", "[refused]")]);
    const end = await ended((await create(text, { output_expires_after: expires })).id);
    for (const id of [end.output_file_id, end.error_file_id]) {
      const file = await client.files.retrieve(id ?? "");
      expect(file.expires_at).toBe(file.created_at + 7_200);
      expect(file.created_at).toBe(end.completed_at);
    }
  });
});

describe("a file that is wrong", () => {
  it("fails its batch with every error's code and line, and nothing is called", async () => {
    const before = muster.simulator.stats().calls;
    const good = chatLine("a", "[never called]");
    const rows = [
      JSON.stringify(good),
      "not json",
      JSON.stringify(good),
      JSON.stringify({ ...good, custom_id: undefined }),
      JSON.stringify({ ...good, custom_id: "b", url: "/v1/embeddings" }),
      JSON.stringify({ ...good, custom_id: "c", method: "GET" }),
      JSON.stringify({ ...good, custom_id: "d", body: undefined }),
    ];
    const end = await ended((await create(rows.join("\n"))).id);
    expect(end).toMatchObject({ status: "failed", request_counts: { total: 0 } });
    expect(end.failed_at).toBeGreaterThanOrEqual(end.created_at);
    expect(end.errors?.object).toBe("list");
    expect(end.errors?.data?.map(({ line, code, param }) => [line, code, param])).toEqual([
      [2, "invalid_json_line", null],
      [3, "duplicate_custom_id", "custom_id"],
      [4, "missing_required_parameter", "custom_id"],
      [5, "invalid_url", "url"],
      [6, "invalid_method", "method"],
      [7, "missing_required_parameter", "body"],
    ]);
    expect(end.errors?.data?.every(({ message }) => /\S/.test(message ?? ""))).toBe(true);
    expect(muster.simulator.stats().calls).toBe(before);
  });

  it("fails its batch when it is empty", async () => {
    const end = await ended((await create("\n")).id);
    expect(end.errors?.data).toMatchObject([{ code: "empty_file", line: null }]);
  });
});

describe("batches.create", () => {
  it("takes metadata of 16 pairs, keys of 64, values of 512 characters, and no more", async () => {
    const text = jsonl([chatLine("a", "why")]);
    const pairs = (count: number, key: number, value: number) =>
      Object.fromEntries(
        Array.from({ length: count }, (_, n) => [`${n}`.padEnd(key, "k"), "v".repeat(value)]),
      );
    const metadata = pairs(16, 64, 512);
    expect((await create(text, { metadata })).metadata).toEqual(metadata);
    expect((await create(text, { metadata: null })).metadata).toBeNull();
    for (const wrong of [pairs(17, 2, 1), pairs(1, 65, 1), pairs(1, 2, 513)]) {
      await expect(create(text, { metadata: wrong })).rejects.toSatisfy(
        (error) => error instanceof BadRequestError && /^metadata/.test(error.param ?? ""),
      );
    }
  });

  it("refuses what it does not know, in the client's error types, once", async () => {
    const input_file_id = await upload(jsonl([chatLine("a", "why")]));
    const { output_file_id } = await ended((await create(jsonl([chatLine("a", "b")]))).id);
    const refusals: [body: object, type: unknown, param: string, code: string | null][] = [
      [{ input_file_id, ...CHAT, endpoint: "/v1/nothing" }, BadRequestError, "endpoint", null],
      [
        { input_file_id, ...CHAT, completion_window: "1y" },
        BadRequestError,
        "completion_window",
        null,
      ],
      [{ input_file_id, ...CHAT, nonsense: 1 }, BadRequestError, "nonsense", "unknown_parameter"],
      [{ input_file_id }, BadRequestError, "endpoint", "missing_required_parameter"],
      [{ input_file_id: "file-no", ...CHAT }, NotFoundError, "input_file_id", "not_found"],
      [{ input_file_id: output_file_id, ...CHAT }, BadRequestError, "input_file_id", null],
    ];
    for (const [body, type, param, code] of refusals) {
      const before = sent;
      await expect(client.post("/batches", { body })).rejects.toSatisfy((error) => {
        expect(error).toBeInstanceOf(type);
        expect(error).toMatchObject({ param, code, type: "invalid_request_error" });
        expect(error).toHaveProperty("requestID", expect.stringMatching(/^req_/));
        return true;
      });
      expect(sent - before).toBe(1);
    }
    const stranger = client.withOptions({ apiKey: "sk-wrong" });
    await expect(stranger.batches.list()).rejects.toBeInstanceOf(AuthenticationError);
  });
});

describe("batches.retrieve, list, cancel", () => {
  it("list pages through all batches by itself, the newest first", async () => {
    const input_file_id = await upload(jsonl([chatLine("only", "one question")]));
    const made: string[] = [];
    for (let i = 0; i < 5; i += 1) {
      made.unshift((await client.batches.create({ input_file_id, ...CHAT })).id);
    }
    const listed: string[] = [];
    for await (const batch of client.batches.list({ limit: 2 })) listed.push(batch.id);
    expect(listed.slice(0, 5)).toEqual(made);
    expect(new Set(listed).size).toBe(listed.length);
    const after = await client.batches.list({ after: made[1] ?? "", limit: 2 });
    expect(after.data.map(({ id }) => id)).toEqual(made.slice(2, 4));
    expect(after.has_more).toBe(true);
  });

  it("cancel keeps what was finished; what was not called is in the error file", async () => {
    const rows = questions(400).map((question, index) => chatLine(`c-${index}`, question));
    const batch = await create(jsonl(rows));
    await until(
      () => client.batches.retrieve(batch.id),
      ({ request_counts }) => (request_counts?.completed ?? 0) > 0,
    );
    expect(["cancelling", "cancelled"]).toContain((await client.batches.cancel(batch.id)).status);
    const end = await ended(batch.id);
    expect(end.status).toBe("cancelled");
    expect(end.cancelled_at).toBeGreaterThanOrEqual(end.cancelling_at ?? Number.NaN);
    const [done, rest] = [await linesOf(end.output_file_id), await linesOf(end.error_file_id)];
    expect(done).toHaveLength(end.request_counts?.completed ?? -1);
    expect(done.length + rest.length).toBe(400);
    expect(rest.map(({ error }) => error?.code)).toContain("batch_cancelled");
    // Twice is once.
    expect((await client.batches.cancel(batch.id)).status).toBe("cancelled");
  });

  it("cancel of one that has ended is a 400, which the client does not repeat", async () => {
    const { id } = await ended((await create(jsonl([chatLine("a", "why")]))).id);
    const before = sent;
    await expect(client.batches.cancel(id)).rejects.toSatisfy(
      (error) => error instanceof BadRequestError && error.code === "batch_not_cancellable",
    );
    expect(sent - before).toBe(1);
  });

  it("an id that names nothing is a 404", async () => {
    await expect(client.batches.retrieve("batch_nope")).rejects.toBeInstanceOf(NotFoundError);
    await expect(client.batches.cancel("batch_nope")).rejects.toBeInstanceOf(NotFoundError);
    const { response } = await client.batches.list().withResponse();
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
  });
});
