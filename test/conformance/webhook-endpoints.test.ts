import OpenAI from "openai";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Running, startTestMuster } from "../support/muster.ts";

/** `client.webhooks` of the official client, unchanged but for its base URL, by its own types. */

type Endpoint = OpenAI.Webhooks.WebhookEndpoint;

let muster: Running;
let client: OpenAI;

beforeAll(async () => {
  muster = await startTestMuster();
  client = new OpenAI({ baseURL: muster.url, apiKey: muster.apiKey });
});
afterAll(() => muster.stop());

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
