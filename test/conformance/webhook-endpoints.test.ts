import OpenAI from "openai";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Running, startTestMuster } from "../support/muster.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { verifiers } from "../support/verifiers.ts";
import { until } from "../support/wait.ts";

/** `client.webhooks` of the official client, unchanged but for its base URL, by its own types. */

type Endpoint = OpenAI.Webhooks.WebhookEndpoint;

let muster: Running;
let receiver: Receiver;
let client: OpenAI;

beforeAll(async () => {
  receiver = await startReceiver();
  muster = await startTestMuster({}, { WEBHOOK_ALLOW_PRIVATE: "1" });
  client = new OpenAI({ baseURL: muster.url, apiKey: muster.apiKey, fetch: muster.fetch });
});
afterAll(async () => {
  await muster.stop();
  await receiver.close();
});

const PARAMS: OpenAI.Webhooks.WebhookCreateParams = {
  name: "orders",
  url: "https://hooks.example.com/muster",
  event_types: ["batch.completed", "batch.failed"],
};

it("eventTypes.list() names the events that batches have", async () => {
  const types: OpenAI.Webhooks.WebhookEventTypeList = await client.webhooks.eventTypes.list();
  expect(types).toEqual({
    object: "list",
    data: ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"],
  });
});

it("create(), retrieve(), update(), rotateSecret() and delete() do what their types say", async () => {
  const made: OpenAI.Webhooks.WebhookEndpointWithSecret = await client.webhooks.create(PARAMS);
  expect(made).toMatchObject({ object: "webhook_endpoint", ...PARAMS });
  expect(made.signing_secret).toMatch(/^whsec_/);
  expect(made.signing_secret_hint).not.toBeNull();
  expect(Number.isInteger(made.created_at)).toBe(true);

  const found: Endpoint = await client.webhooks.retrieve(made.id);
  expect(found).toMatchObject({ id: made.id, created_at: made.created_at, ...PARAMS });
  expect(found).not.toHaveProperty("signing_secret");

  const updated: Endpoint = await client.webhooks.update(made.id, { name: "bills" });
  expect(updated).toMatchObject({ id: made.id, name: "bills", url: PARAMS.url });
  expect(await client.webhooks.update(made.id)).toEqual(updated);
  expect(await client.webhooks.update(made.id, null)).toEqual(updated);

  const rotated: OpenAI.Webhooks.WebhookEndpointWithSecret = await client.webhooks.rotateSecret(
    made.id,
    { keep_old_secret_active_for_24_hours: true },
  );
  expect(rotated.signing_secret).not.toBe(made.signing_secret);
  expect((await client.webhooks.rotateSecret(made.id)).id).toBe(made.id);
  expect((await client.webhooks.rotateSecret(made.id, null)).id).toBe(made.id);

  const deleted: OpenAI.Webhooks.DeletedWebhookEndpoint = await client.webhooks.delete(made.id);
  expect(deleted).toEqual({ id: made.id, object: "webhook_endpoint.deleted", deleted: true });
  await expect(client.webhooks.retrieve(made.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
});

it("list() pages through all of them, the newest first", async () => {
  const made: string[] = [];
  for (let n = 0; n < 5; n += 1) made.push((await client.webhooks.create(PARAMS)).id);
  const seen: string[] = [];
  for await (const endpoint of client.webhooks.list({ limit: 2 })) seen.push(endpoint.id);
  expect(seen).toEqual(made.toReversed());
  const page = await client.webhooks.list({ after: null, limit: 2 });
  expect(page.getPaginatedItems().map(({ id }) => id)).toEqual(seen.slice(0, 2));
  expect(page.hasNextPage()).toBe(true);
  await Promise.all(made.map((id) => client.webhooks.delete(id)));
});

it("delete() of what list() gives while it pages takes all of them, to the last", async () => {
  const made: string[] = [];
  for (let n = 0; n < 5; n += 1) made.push((await client.webhooks.create(PARAMS)).id);
  const gone: string[] = [];
  for await (const { id } of client.webhooks.list({ limit: 2 })) {
    gone.push(id);
    await client.webhooks.delete(id);
  }
  expect(gone).toEqual(made.toReversed());
  expect((await client.webhooks.list()).data).toEqual([]);
});

it("an endpoint too many is an error that the client does not repeat", async () => {
  const made: string[] = [];
  for (let n = 0; n < 20; n += 1) made.push((await client.webhooks.create(PARAMS)).id);
  const refused = await client.webhooks.create(PARAMS).catch((error: unknown) => error);
  if (!(refused instanceof OpenAI.BadRequestError)) throw refused;
  expect(refused.code).toBe("too_many_webhook_endpoints");
  expect(refused.message).toMatch(/has 20 webhook endpoints.+Delete one/);
  await Promise.all(made.map((id) => client.webhooks.delete(id)));
});

it("an event that is never sent here is an error that names it", async () => {
  const create = client.webhooks.create({ ...PARAMS, event_types: ["response.completed"] });
  await expect(create).rejects.toMatchObject({ status: 400, param: "event_types[0]" });
});

/** What arrived at a path, once there is as much of it. */
const arrived = (path: string, count = 1) =>
  until(
    () => receiver.received.filter((one) => one.path === path),
    (found) => found.length >= count,
  ).then((found) =>
    found.map(({ body, headers }) => ({ body, headers: headers as Record<string, string> })),
  );

const opens = async (secret: string, signed: { body: string; headers: Record<string, string> }) => {
  const said = Object.values(verifiers).map((verify) =>
    verify(signed, secret).then(
      () => true,
      () => false,
    ),
  );
  return new Set(await Promise.all(said));
};

/** Runs a batch of one task to its end. */
async function runBatch(): Promise<string> {
  const requests = [{ body: { model: "m", messages: [{ role: "user", content: "hello" }] } }];
  const response = await muster.post("/batches", { endpoint: "/v1/chat/completions", requests });
  return ((await response.json()) as { id: string }).id;
}

it("test() sends a signed sample event, and says what the endpoint answered", async () => {
  const url = `${receiver.url}/ok/tested`;
  const { id, signing_secret, updated_at } = await client.webhooks.create({ ...PARAMS, url });
  const result: OpenAI.Webhooks.WebhookEndpointTestResult = await client.webhooks.test(id, {
    event_type: "batch.expired",
  });
  expect(result).toEqual({
    object: "webhook_endpoint.test",
    webhook_endpoint_id: id,
    event_type: "batch.expired",
    status_code: 200,
    success: true,
  });
  const [one] = await arrived("/ok/tested");
  if (one === undefined) throw new Error("nothing arrived");
  const event = await client.webhooks.unwrap(one.body, one.headers, signing_secret);
  expect(event).toMatchObject({ object: "event", type: "batch.expired" });
  expect(await opens(signing_secret, one)).toEqual(new Set([true]));
  expect((await client.webhooks.retrieve(id)).updated_at).toBe(updated_at);
  await client.webhooks.delete(id);
});

it("test() tells a refusal as its status, disables nothing, and names what it cannot reach", async () => {
  const { id } = await client.webhooks.create({ ...PARAMS, url: `${receiver.url}/gone/tested` });
  const result = await client.webhooks.test(id, { event_type: "batch.failed" });
  expect(result).toMatchObject({ status_code: 410, success: true });
  expect(await client.webhooks.retrieve(id)).toMatchObject({ muster: { enabled: true } });
  // A port where nobody listens.
  await client.webhooks.update(id, { url: "http://127.0.0.1:1/nobody" });
  const refused = client.webhooks.test(id, { event_type: "batch.failed" });
  await expect(refused).rejects.toMatchObject({ status: 400, code: "webhook_test_failed" });
  const list = await (await muster.get(`/webhook_endpoints/${id}/attempts`)).json();
  expect(list).toMatchObject({
    data: [
      { test: true, status_code: null, batch_id: null, error: expect.any(String) },
      { test: true, status_code: 410, batch_id: null },
    ],
  });
  await client.webhooks.delete(id);
});

it("rotateSecret() lets both secrets sign for 24 hours, or the new one alone", async () => {
  const url = `${receiver.url}/ok/rotated`;
  const { id, signing_secret: first } = await client.webhooks.create({ ...PARAMS, url });
  await runBatch();
  await arrived("/ok/rotated", 1);
  const keep = { keep_old_secret_active_for_24_hours: true };
  const { signing_secret: second } = await client.webhooks.rotateSecret(id, keep);
  await runBatch();
  await arrived("/ok/rotated", 2);
  const { signing_secret: third } = await client.webhooks.rotateSecret(id);
  await runBatch();
  const sent = await arrived("/ok/rotated", 3);
  const signedBy = await Promise.all(
    sent.map((one) => Promise.all([first, second, third].map((secret) => opens(secret, one)))),
  );
  const [yes, no] = [new Set([true]), new Set([false])];
  expect(signedBy).toEqual([
    [yes, no, no],
    [yes, yes, no],
    [no, no, yes],
  ]);
  await client.webhooks.delete(id);
});

it("an endpoint hears of its project's batches until it is deleted", async () => {
  const url = `${receiver.url}/ok/heard`;
  const { id, signing_secret } = await client.webhooks.create({ ...PARAMS, url });
  const batch = await runBatch();
  const [one] = await arrived("/ok/heard");
  if (one === undefined) throw new Error("nothing arrived");
  const event = await client.webhooks.unwrap(one.body, one.headers, signing_secret);
  if (event.type !== "batch.completed") throw new Error(`it is ${event.type}`);
  expect((await client.batches.retrieve(event.data.id)).status).toBe("completed");
  const attempts = await until(
    async () => (await muster.get(`/webhook_endpoints/${id}/attempts`)).json(),
    (list) => (list as { data: unknown[] }).data.length > 0,
  );
  expect(attempts).toMatchObject({ data: [{ test: false, batch_id: batch, status_code: 200 }] });
  await client.webhooks.delete(id);
  const other = await client.webhooks.create({ ...PARAMS, url: `${receiver.url}/ok/other` });
  await runBatch();
  await arrived("/ok/other");
  expect(await arrived("/ok/heard")).toHaveLength(1);
  await client.webhooks.delete(other.id);
});
