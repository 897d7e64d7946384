import { createReadStream, readFileSync } from "node:fs";
import OpenAI, { AuthenticationError, BadRequestError, NotFoundError, toFile } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { promptDigest } from "../../src/simulator/index.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";

/** The official client, unmodified, with another baseURL. */

let muster: Running;
let client: OpenAI;

beforeAll(async () => {
  muster = await startTestMuster({
    faults: [
      { kind: "status", code: 500, rate: 0.1, attempts: "first" },
      { kind: "status", code: 400, match: "[refused]", attempts: "always" },
    ],
  });
  client = new OpenAI({ baseURL: muster.url, apiKey: muster.apiKey, fetch: muster.fetch });
});
afterAll(() => muster.stop());

const QUESTIONS = new URL("../../src/cli/questions/gsm8k-test.jsonl", import.meta.url);
const questions = (count: number): string[] =>
  readFileSync(QUESTIONS, "utf8")
    .split("\n")
    .slice(0, count)
    .map((line) => (JSON.parse(line) as { question: string }).question);

const request = (custom_id: string, content: string) => ({
  custom_id,
  method: "POST",
  url: "/v1/chat/completions",
  body: { model: "gpt-4o-mini", messages: [{ role: "user", content }], max_tokens: 60 },
});
const jsonl = (rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

async function upload(text: string): Promise<string> {
  const file = await toFile(Buffer.from(text), "batch.jsonl");
  return (await client.files.create({ file, purpose: "batch" })).id;
}

const ended = (id: string) =>
  until(
    () => client.batches.retrieve(id),
    ({ status }) => ["completed", "failed", "expired", "cancelled"].includes(status),
  );

describe("the official openai client", () => {
  it("uploads a file, runs it as a batch, and reads output and error file", async () => {
    const asked = [...questions(50), "[refused] no answer for this one"];
    const input = jsonl(asked.map((question, index) => request(`q-${index}`, question)));
    const uploaded = await client.files.create({
      file: await toFile(Buffer.from(input), "questions.jsonl"),
      purpose: "batch",
    });
    expect(uploaded).toMatchObject({
      object: "file",
      purpose: "batch",
      filename: "questions.jsonl",
      bytes: Buffer.byteLength(input),
      status: "processed",
    });

    const batch = await client.batches.create({
      input_file_id: uploaded.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
      metadata: { run: "conformance" },
    });
    expect(batch).toMatchObject({
      object: "batch",
      input_file_id: uploaded.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
      metadata: { run: "conformance" },
    });

    const end = await ended(batch.id);
    expect(end).toMatchObject({
      status: "completed",
      model: "gpt-4o-mini",
      request_counts: { total: 51, completed: 50, failed: 1 },
    });
    expect(end.completed_at).toBeGreaterThanOrEqual(end.created_at);
    expect(end.usage?.total_tokens).toBeGreaterThan(0);

    const output = await (await client.files.content(end.output_file_id ?? "")).text();
    const lines = output
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => line.custom_id)).toEqual(
      asked.slice(0, 50).map((_, index) => `q-${index}`),
    );
    for (const line of lines) {
      const { body } = request("", asked[Number(line.custom_id.slice(2))] ?? "");
      const answer = line.response.body.choices[0].message.content;
      expect(answer).toContain(`digest:${promptDigest("/v1/chat/completions", body)}`);
      expect(line).toMatchObject({ error: null, response: { status_code: 200 } });
    }
    const file = await client.files.retrieve(end.output_file_id ?? "");
    expect(file).toMatchObject({ purpose: "batch_output", bytes: Buffer.byteLength(output) });

    const errors = await (await client.files.content(end.error_file_id ?? "")).text();
    expect(JSON.parse(errors)).toMatchObject({
      custom_id: "q-50",
      response: { status_code: 400, body: { error: { type: "invalid_request_error" } } },
      error: null,
    });
  });

  it("takes a file as a stream, and gives its bytes back as they were", async () => {
    const uploaded = await client.files.create({
      file: createReadStream(QUESTIONS),
      purpose: "batch",
    });
    const content = await (await client.files.content(uploaded.id)).text();
    expect(content).toBe(readFileSync(QUESTIONS, "utf8"));
    const listed: string[] = [];
    for await (const file of client.files.list({ purpose: "batch", limit: 1 }))
      listed.push(file.id);
    expect(listed).toContain(uploaded.id);
    expect(await client.files.delete(uploaded.id)).toMatchObject({ deleted: true });
    await expect(client.files.retrieve(uploaded.id)).rejects.toBeInstanceOf(NotFoundError);
  });

  it("says which lines of a file are wrong, and calls nothing", async () => {
    const before = muster.simulator.stats().calls;
    const good = request("a", "[never called]");
    const text = `${JSON.stringify(good)}\nnot json\n${JSON.stringify(good)}\n`;
    const batch = await client.batches.create({
      input_file_id: await upload(text),
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    const end = await ended(batch.id);
    expect(end.status).toBe("failed");
    expect(end.errors?.data?.map(({ line, code }) => [line, code])).toEqual([
      [2, "invalid_json_line"],
      [3, "duplicate_custom_id"],
    ]);
    expect(muster.simulator.stats().calls).toBe(before);
  });

  it("lists batches page by page, the newest first", async () => {
    const input_file_id = await upload(jsonl([request("only", "one question")]));
    const made: string[] = [];
    for (let i = 0; i < 3; i += 1) {
      const { id } = await client.batches.create({
        input_file_id,
        endpoint: "/v1/chat/completions",
        completion_window: "24h",
      });
      made.unshift(id);
    }
    const listed: string[] = [];
    for await (const { id } of client.batches.list({ limit: 2 })) listed.push(id);
    expect(listed.slice(0, 3)).toEqual(made);
    expect(new Set(listed).size).toBe(listed.length);
  });

  it("cancels a batch and keeps what was finished", async () => {
    const rows = questions(400).map((question, index) => request(`c-${index}`, question));
    const batch = await client.batches.create({
      input_file_id: await upload(jsonl(rows)),
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    await until(
      () => client.batches.retrieve(batch.id),
      ({ request_counts }) => (request_counts?.completed ?? 0) > 0,
    );
    expect(["cancelling", "cancelled"]).toContain((await client.batches.cancel(batch.id)).status);
    const end = await ended(batch.id);
    expect(end.status).toBe("cancelled");
    const output = await (await client.files.content(end.output_file_id ?? "")).text();
    expect(output.trimEnd().split("\n")).toHaveLength(end.request_counts?.completed ?? -1);
  });

  it("meets the errors it knows", async () => {
    await expect(client.batches.retrieve("batch_nope")).rejects.toBeInstanceOf(NotFoundError);
    const stranger = new OpenAI({
      baseURL: muster.url,
      apiKey: "sk-wrong",
      maxRetries: 0,
      fetch: muster.fetch,
    });
    await expect(stranger.batches.list()).rejects.toBeInstanceOf(AuthenticationError);
    const endpoint = "/v1/nothing" as "/v1/responses";
    await expect(
      client.batches.create({ input_file_id: "x", endpoint, completion_window: "24h" }),
    ).rejects.toSatisfy((error) => error instanceof BadRequestError && error.param === "endpoint");
  });
});
