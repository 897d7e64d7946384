import { env, exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { BatchObject } from "../../../src/wire/batch.ts";
import type { FileObject } from "../../../src/wire/file.ts";
import { batchIdOf, ownInputFileId } from "../../../src/wire/ids.ts";
import { bodyOf, call, digestOf, look, unique, until } from "../../support/worker/client.ts";
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
import { newBatch, unopen } from "../../support/worker/store.ts";

const one = (params: object = {}) => request("a", "never called", params);

describe("a batch of messages", () => {
  it("is opened, runs, and gives each request its own answer", async () => {
    const prompts = [unique("One"), unique("空はなぜ青い？ 🌤️"), unique('"quoted\\"\n')];
    const batch = await opened(prompts.map((prompt, index) => request(`q-${index}`, prompt)));
    expect(batch).toMatchObject({
      type: "message_batch",
      processing_status: "in_progress",
      request_counts: { processing: 3, succeeded: 0, errored: 0, canceled: 0, expired: 0 },
      ended_at: null,
      cancel_initiated_at: null,
      results_url: null,
    });
    expect(batch.id).toMatch(/^msgbatch_[0-9a-f]{32}$/);
    expect(Date.parse(batch.expires_at) - Date.parse(batch.created_at)).toBe(86_400_000);
    const end = await endOf(batch.id);
    expect(end.request_counts).toEqual({
      processing: 0,
      succeeded: 3,
      errored: 0,
      canceled: 0,
      expired: 0,
    });
    expect(end.results_url).toBe(`http://muster.test${BATCHES}/${batch.id}/results`);
    const lines = await resultsOf(end);
    expect(lines.map(({ custom_id }) => custom_id)).toEqual(["q-0", "q-1", "q-2"]);
    for (const [index, prompt] of prompts.entries()) {
      const { result } = lines[index] ?? expect.fail();
      expect(JSON.stringify(result)).toContain(await digestOf(prompt));
      expect(result).toMatchObject({ type: "succeeded", message: { type: "message" } });
    }
  });

  it("takes the options of Muster's other doors", async () => {
    const options = { metadata: { team: "a" }, completion_window: "2h", max_concurrency: 3 };
    const batch = await opened([request("a", unique("a"))], options);
    expect(Date.parse(batch.expires_at) - Date.parse(batch.created_at)).toBe(7_200_000);
    const same: BatchObject = await (await call(`/v1/batches/${batch.id}`)).json();
    expect(same).toMatchObject({
      id: batchIdOf(batch.id),
      endpoint: "/v1/messages",
      metadata: { team: "a" },
      muster: { max_concurrency: 3 },
    });
  });

  it("tells a secret that was made for its webhook, once", async () => {
    const requests = [request("a", unique("a"))];
    const url = "https://example.com/hook";
    const made = await opened(requests, { webhook: { url } });
    expect(made.muster).toEqual({
      webhook: { url, secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/) },
    });
    expect(await lookAt(made.id)).not.toHaveProperty("muster");
    // One that the client has need not be told.
    const secret = made.muster?.webhook.secret;
    const given = await opened(requests, { webhook: { url, secret } });
    expect(given).not.toHaveProperty("muster");
    expect(await opened(requests)).not.toHaveProperty("muster");
  });

  it("is not opened by a dry run, which this door does not have", async () => {
    const requests = [one()];
    for (const path of [`${BATCHES}?dry_run=true`, `${BATCHES}?dry_run=false`]) {
      const init = { method: "POST", body: JSON.stringify({ requests }) };
      const response = await ask(path, init);
      expect(response.status).toBe(400);
      const { error } = await refusalOf(response);
      expect(error.type).toBe("invalid_request_error");
      expect(error.message).toMatch(/^dry_run: only POST \/v1\/batches takes it/);
    }
  });

  it("is opened once by a request that says it is a retry", async () => {
    const requests = [request("a", unique("a"))];
    const first = await opened(requests);
    const again = await create(requests, {}, { "x-stainless-retry-count": "1" });
    expect(await again.json()).toMatchObject({ id: first.id });
    const other = await create([request("a", unique("b"))], {}, { "x-stainless-retry-count": "1" });
    expect(await other.json()).not.toMatchObject({ id: first.id });
  });

  it("is opened once by an Idempotency-Key", async () => {
    const key = { "idempotency-key": crypto.randomUUID() };
    const requests = [request("a", unique("a"))];
    const answers = await Promise.all([create(requests, {}, key), create(requests, {}, key)]);
    const [a, b] = await Promise.all(answers.map((answer) => answer.text()));
    expect(a).toBe(b);
    const other = await create([request("a", "b")], {}, key);
    expect(other.status).toBe(422);
    expect((await refusalOf(other)).error.type).toBe("invalid_request_error");
  });
});

describe("a body that is refused names the field by its path", () => {
  it.each([
    ["no JSON", "{", "The body is not JSON."],
    ["text", '"text"', "The body: "],
    ["a list", "[]", "The body: "],
    ["nothing", "", "The body is not JSON."],
    ["no requests", "{}", "Missing required parameter: 'requests'."],
    ["requests that are no list", '{"requests":{}}', "requests: "],
    ["no request in them", '{"requests":[]}', "requests: a batch takes at least one request."],
    ["a request cut short", '{"requests":[{"custom_id":"a"', "The body is not JSON."],
    ["a request that is no JSON", '{"requests":[{]}', "requests.0: this is not JSON"],
    ["a comma too many", `{"requests":[${JSON.stringify(one())},]}`, "requests.1: "],
    ["requests twice", '{"requests":[],"requests":[]}', "requests: the body has this member more"],
    ["a request that is a number", [1], "requests.0: expected object, received number."],
    ["no custom_id", [{ params: {} }], "requests.0.custom_id: Missing required parameter"],
    ["an empty custom_id", [request("", "a")], "requests.0.custom_id: 1 to 64 of"],
    ["a long custom_id", [one(), request("x".repeat(65), "a")], "requests.1.custom_id: 1 to 64"],
    ["a custom_id with a space", [request("a b", "a")], "requests.0.custom_id: 1 to 64 of"],
    ["a custom_id that is none in ASCII", [request("é", "a")], "requests.0.custom_id: 1 to 64"],
    ["a custom_id with a line feed", [request("a\n", "a")], "requests.0.custom_id: 1 to 64"],
    ["no params", [{ custom_id: "a" }], "requests.0.params: Missing required parameter"],
    ["params that are a list", [{ custom_id: "a", params: [] }], "requests.0.params: "],
    ["a member there is not", [{ ...one(), method: "POST" }], "requests.0.method: Unknown"],
    ["a stream", [one(), request("b", "b", { stream: true })], "requests.1.params.stream"],
    ["a custom_id twice", [one(), one()], "requests.1.custom_id: an earlier request has"],
  ])("%s", async (_, requests, message) => {
    const response = await create(requests);
    expect(response.status).toBe(400);
    const body = await refusalOf(response);
    expect(body).toEqual({
      type: "error",
      error: { type: "invalid_request_error", message: expect.stringContaining(message) },
      request_id: response.headers.get("request-id"),
    });
  });

  it("in an option, or one that there is not", async () => {
    const window = await refusalOf(await create([one()], { completion_window: "1y" }));
    expect(window.error.message).toContain("completion_window: ");
    const unknown = await refusalOf(await create([one()], { max_concurency: 1 }));
    expect(unknown.error.message).toContain("did you mean 'max_concurrency'?".slice(1));
    const webhook = await refusalOf(await create([one()], { webhook: { url: "ftp://a" } }));
    expect(webhook.error.message).toContain("webhook.url");
  });

  it("of a model without a price, in a batch that is held to one", async () => {
    const priced = request("a", "a", { model: "priced" });
    const requests = [priced, request("b", "b", { model: "nobody-knows" })];
    const { error } = await refusalOf(await create(requests, { max_cost: 1 }));
    expect(error.message).toMatch(/^requests\.1\.params\.model: .*PRICES/);
  });

  it("and says how many more there are", async () => {
    const requests = [one(), request("b", "b", { stream: true }), one(), one()];
    const { error } = await refusalOf(await create(requests));
    expect(error.message).toMatch(/^requests\.1\.params\.stream .*\(and 2 more\)$/);
  });

  it("of a version that is none", async () => {
    const refused = await refusalOf(await create([one()], {}, { "anthropic-version": "latest" }));
    expect(refused.error.message).toContain("anthropic-version: takes a date");
  });

  it("with more than 100,000 requests", async () => {
    const text = JSON.stringify({ custom_id: "ID", params: { model: "claude" } });
    const requests = Array.from({ length: 100_001 }, (_, index) => text.replace("ID", `${index}`));
    const response = await create(`{"requests":[${requests.join(",")}]}`);
    expect(response.status).toBe(400);
    expect((await refusalOf(response)).error.message).toContain("at most 100000 requests");
  });

  it("with a request longer than a task may be, and calls nothing of it", async () => {
    const long = request("b", "x".repeat(1_900_001));
    const { error } = await refusalOf(await create([one(), long]));
    expect(error.message).toContain("requests.1");
    expect(error.message).toContain("1900000 bytes");
  });
});

describe("a body too long for one RPC", () => {
  const filler = "空 ".repeat(150_000);
  const prompts = Array.from({ length: 40 }, (_, index) => unique(`long ${index} ${filler}`));
  const requests = prompts.map((prompt, index) => request(`long-${index}`, prompt));

  async function inFiles(): Promise<number> {
    const { objects } = await env.FILES.list({ prefix: "files/default/" });
    return objects.length;
  }

  it("is kept as a file, which goes when the batch is deleted", { timeout: 120_000 }, async () => {
    const before = await inFiles();
    const batch = await opened(requests);
    // All of them from the first answer on, though they are still being read.
    expect(batch.request_counts.processing).toBe(40);
    const same: BatchObject = await (await call(`/v1/batches/${batch.id}`)).json();
    const file: FileObject = await (await call(`/v1/files/${same.input_file_id}`)).json();
    expect(file).toMatchObject({ purpose: "batch", filename: `${batch.id}.jsonl` });
    const { text } = await bodyOf(await call(`/v1/files/${file.id}/content`));
    const [first] = text.split("\n");
    expect(JSON.parse(first ?? "")).toEqual({
      custom_id: "long-0",
      method: "POST",
      url: "/v1/messages",
      body: requests[0]?.params,
    });

    const end = await until(
      () => lookAt(batch.id),
      ({ processing_status }) => processing_status === "ended",
    );
    expect(end.request_counts).toMatchObject({ processing: 0, succeeded: 40 });
    const lines = await resultsOf(end);
    for (const [index, prompt] of prompts.entries()) {
      expect(lines[index]?.custom_id).toBe(`long-${index}`);
      expect(JSON.stringify(lines[index])).toContain(await digestOf(prompt));
    }
    expect((await ask(`${BATCHES}/${batch.id}`, { method: "DELETE" })).status).toBe(200);
    await until(inFiles, (count) => count === before);
    expect((await call(`/v1/files/${file.id}`)).status).toBe(404);
  });

  it("counts every request when it is canceled at once, and again when it is retried", {
    timeout: 120_000,
  }, async () => {
    const before = await inFiles();
    const batch = await opened(requests);
    const canceling = await ask(`${BATCHES}/${batch.id}/cancel`, { method: "POST" });
    expect(await canceling.json()).toMatchObject({ request_counts: { processing: 40 } });
    const end = await endOf(batch.id);
    const { succeeded, canceled } = end.request_counts;
    expect(end.request_counts).toMatchObject({ processing: 0, errored: 0, expired: 0 });
    expect(succeeded + canceled).toBe(40);
    expect(await resultsOf(end)).toHaveLength(40);
    if (canceled > 0) {
      const retried = await call(`/v1/batches/${batch.id}/retry`, { method: "POST" });
      expect(retried.status).toBe(200);
    }
    expect((await endOf(batch.id)).request_counts).toMatchObject({ succeeded: 40, canceled: 0 });
    await ask(`${BATCHES}/${batch.id}`, { method: "DELETE" });
    await until(inFiles, (count) => count === before);
  });

  it("that is wrong at its end leaves nothing behind but what is deleted later", async () => {
    const response = await create([...requests, request("long-0", "again")]);
    expect(response.status).toBe(400);
    const { error } = await refusalOf(response);
    expect(error.message).toContain("requests.40.custom_id: an earlier request");
    const files = await (await call("/v1/files?purpose=batch&limit=100")).text();
    expect(files).not.toContain("msgbatch_");
  });

  it.each([
    ["with a key", { "idempotency-key": crypto.randomUUID() }, {}],
    ["as a retry", {}, { "x-stainless-retry-count": "1" }],
  ])("is one batch and one file when it comes again %s", { timeout: 120_000 }, async (...said) => {
    const [, headers, again] = said;
    const before = await inFiles();
    const first: { id: string } = await (await create(requests, {}, headers)).json();
    const second = await create(requests, {}, { ...headers, ...again });
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(await second.json()).toMatchObject({ id: first.id });
    expect(await inFiles()).toBe(before + 1);
    await ask(`${BATCHES}/${first.id}/cancel`, { method: "POST" });
    await endOf(first.id);
    await ask(`${BATCHES}/${first.id}`, { method: "DELETE" });
    await until(inFiles, (count) => count === before);
  });

  it.each([
    ["with the file that its first try kept", true],
    ["with its own under that one's name, where it is gone", false],
  ])("opens the batch that its first try did not, %s", { timeout: 120_000 }, async (_, kept) => {
    const before = await inFiles();
    const { id } = await opened(requests);
    const first = ownInputFileId(batchIdOf(id));
    await unopen(newBatch({ batch_id: batchIdOf(id) }));
    if (!kept) await call(`/v1/files/${first}`, { method: "DELETE" });
    const retry = await create(requests, {}, { "x-stainless-retry-count": "1" });
    expect(await retry.json()).toMatchObject({ id });
    const { input_file_id } = await look(batchIdOf(id));
    expect(input_file_id).toBe(first);
    expect(await inFiles()).toBe(before + 1);
    expect((await endOf(id)).request_counts).toMatchObject({ succeeded: 40 });
    expect((await call(`/v1/files/${input_file_id}/content`)).status).toBe(200);
    await ask(`${BATCHES}/${id}`, { method: "DELETE" });
    await until(inFiles, (count) => count === before);
  });
});

it("a body that never ends is refused once it is too long", { timeout: 120_000 }, async () => {
  const chunk = new Uint8Array(1024 * 1024).fill(0x20);
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      sent += 1;
      if (sent > 300) controller.close();
      else controller.enqueue(chunk);
    },
  });
  const response = await exports.default.fetch(
    new Request(`http://muster.test${BATCHES}`, {
      method: "POST",
      body,
      headers: { "x-api-key": "sk-test-default" },
    }),
  );
  expect(response.status).toBe(413);
  expect((await refusalOf(response)).error).toMatchObject({ type: "request_too_large" });
});
