import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it } from "vitest";
import { projectStub } from "../../src/stubs.ts";
import { newEndpointId } from "../../src/wire/ids.ts";
import type { EndpointWithSecret, WebhookEndpoint } from "../../src/wire/webhook-endpoint.ts";
import { call, DEFAULT_KEY, errorOf, OTHER_KEY, post } from "../support/worker/client.ts";

const PATH = "/v1/webhook_endpoints";

// A project has twenty endpoints at most, and all these tests have one project.
afterEach(async () => {
  const page: { data: WebhookEndpoint[] } = await (await call(`${PATH}?limit=100`)).json();
  for (const { id } of page.data) await remove(id);
});
const asked = (change: object = {}) => ({
  name: "orders",
  url: "https://hooks.example.com/muster",
  event_types: ["batch.completed", "batch.failed"],
  ...change,
});

async function create(change: object = {}, key = DEFAULT_KEY): Promise<EndpointWithSecret> {
  const response = await post(PATH, asked(change), key);
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response.json();
}

async function retrieve(id: string): Promise<WebhookEndpoint> {
  return (await call(`${PATH}/${id}`)).json();
}

const remove = (id: string, key = DEFAULT_KEY) => call(`${PATH}/${id}`, { method: "DELETE" }, key);

/** Sets a time of an endpoint back, as if it had been written that much earlier. */
function age(id: string, ms: number): Promise<void> {
  return runInDurableObject(projectStub(env, "default"), (_, { storage }) => {
    storage.sql.exec("UPDATE endpoint SET updated_at = updated_at - ? WHERE id = ?", ms, id);
  });
}

describe("POST /v1/webhook_endpoints", () => {
  it("makes an endpoint, and tells its secret in this answer alone", async () => {
    const made = await create();
    const { signing_secret, ...shown } = made;
    expect(signing_secret).toMatch(/^whsec_[\w+/]{43}=$/);
    expect(shown).toEqual({
      id: expect.stringMatching(/^whe_[0-9a-f]{32}$/),
      object: "webhook_endpoint",
      ...asked(),
      signing_secret_hint: `whsec_…${signing_secret.slice(-5, -1)}`,
      created_at: expect.closeTo(Date.now() / 1000, -2),
      updated_at: made.created_at,
      muster: { enabled: true, disabled_at: null, disabled_reason: null },
    });
    expect(await retrieve(made.id)).toEqual(shown);
    const listed = await (await call(`${PATH}?limit=100`)).text();
    expect(listed).toContain(made.id);
    expect(listed).not.toContain(signing_secret);
  });

  it("takes each event type once, however often it is named", async () => {
    const types = ["batch.failed", "batch.completed", "batch.failed"];
    expect((await create({ event_types: types })).event_types).toEqual([
      "batch.failed",
      "batch.completed",
    ]);
  });

  it.each([
    ["no body", "", "name"],
    ["a body that is no JSON", "{", null],
    ["a list", "[]", null],
    ["no name", asked({ name: undefined }), "name"],
    ["a blank name", asked({ name: "  " }), "name"],
    ["a name with a control character", asked({ name: "a\u0000b" }), "name"],
    ["a name with half a character", asked({ name: "\ud800" }), "name"],
    ["a name that is too long", asked({ name: "n".repeat(257) }), "name"],
    ["no url", asked({ url: undefined }), "url"],
    ["a url that is none", asked({ url: "hooks.example.com" }), "url"],
    ["a url that is too long", asked({ url: `https://example.com/${"a".repeat(2048)}` }), "url"],
    ["another scheme", asked({ url: "ftp://example.com/" }), "url"],
    ["a user in the url", asked({ url: "https://me:pw@example.com/" }), "url"],
    ["a link-local url", asked({ url: "https://169.254.169.254/" }), "url"],
    ["a metadata name", asked({ url: "https://metadata.google.internal./" }), "url"],
    ["no event types", asked({ event_types: undefined }), "event_types"],
    ["a member that there is not", asked({ events: [] }), "events"],
    ["an empty list of event types", asked({ event_types: [] }), "event_types"],
    [
      "an event that is not sent here",
      asked({ event_types: ["batch.completed", "response.completed"] }),
      "event_types[1]",
    ],
  ])("refuses %s, and names the field", async (_, body, param) => {
    const response = await post(PATH, body);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ type: "invalid_request_error", param });
  });

  it("says which events there are when it refuses one", async () => {
    const error = await errorOf(await post(PATH, asked({ event_types: ["response.completed"] })));
    expect(error.message).toBe(
      'event_types[0]: "response.completed" is not sent here; one of batch.completed, batch.failed, batch.expired, batch.cancelled.',
    );
  });

  it("gives the client's own retry the endpoint that was made, and its secret", async () => {
    const again = (body: object, retry: string) =>
      call(PATH, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "x-stainless-retry-count": retry },
      });
    const made = await create();
    expect(await (await again(asked(), "1")).json()).toEqual(made);
    const others: EndpointWithSecret[] = [
      await (await again(asked(), "0")).json(),
      await (await again(asked({ name: "another" }), "1")).json(),
    ];
    expect(new Set([made, ...others].map(({ id }) => id)).size).toBe(3);
  });

  it("is the same endpoint for the same Idempotency-Key", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const send = () => call(PATH, { method: "POST", body: JSON.stringify(asked()), headers });
    const first: EndpointWithSecret = await (await send()).json();
    expect(await (await send()).json()).toEqual(first);
  });

  it("refuses a body of more than 64 KiB", async () => {
    const response = await post(PATH, asked({ more: "x".repeat(65_536) }));
    expect(response.status).toBe(413);
    expect((await errorOf(response)).code).toBe("too_large");
  });

  it("refuses the twenty-first of a project, says what to do, and takes one after a deletion", async () => {
    const project = "crowded";
    const stub = projectStub(env, project);
    const one = { name: "n", url: "https://example.com", event_types: ["batch.failed" as const] };
    let last = "";
    for (let n = 0; n < 20; n += 1) {
      const made = await stub.createEndpoint(newEndpointId(), one, false);
      if (made.ok) last = made.value.endpoint.id;
      expect(made.ok).toBe(true);
    }
    expect(await stub.createEndpoint(newEndpointId(), one, false)).toMatchObject({
      ok: false,
      problem: { code: "conflict", reason: "too_many_webhook_endpoints" },
    });
    await stub.removeEndpoint(last);
    expect((await stub.createEndpoint(newEndpointId(), one, false)).ok).toBe(true);
  });
});

describe("GET /v1/webhook_endpoints", () => {
  it("lists the newest first, in pages that end", async () => {
    const made = [await create({}, OTHER_KEY), await create({}, OTHER_KEY)];
    const third = await create({}, OTHER_KEY);
    const page = await (await call(`${PATH}?limit=2`, {}, OTHER_KEY)).json();
    expect(page).toMatchObject({
      object: "list",
      data: [{ id: third.id }, { id: made[1]?.id }],
      first_id: third.id,
      last_id: made[1]?.id,
      has_more: true,
    });
    const rest = await (await call(`${PATH}?limit=2&after=${made[1]?.id}`, {}, OTHER_KEY)).json();
    expect(rest).toMatchObject({ data: [{ id: made[0]?.id }], has_more: false });
    for (const { id } of [...made, third]) await remove(id, OTHER_KEY);
    expect(await (await call(`${PATH}?after=`, {}, OTHER_KEY)).json()).toEqual({
      object: "list",
      data: [],
      first_id: null,
      last_id: null,
      has_more: false,
    });
  });

  it("goes on behind one that was deleted, in its own project alone", async () => {
    const made = [await create({}, OTHER_KEY), await create({}, OTHER_KEY)];
    const [oldest, newest] = made.map(({ id }) => id);
    await remove(newest ?? "", OTHER_KEY);
    const rest = await (await call(`${PATH}?after=${newest}`, {}, OTHER_KEY)).json();
    expect(rest).toMatchObject({ data: [{ id: oldest }], has_more: false });
    expect((await call(`${PATH}?after=${newest}`)).status).toBe(400);
    await remove(oldest ?? "", OTHER_KEY);
  });

  it.each([
    ["limit=0", "limit"],
    ["limit=101", "limit"],
    ["limit=x", "limit"],
    ["after=whe_unknown", "after"],
  ])("refuses ?%s", async (query, param) => {
    const response = await call(`${PATH}?${query}`);
    expect(response.status).toBe(400);
    expect((await errorOf(response)).param).toBe(param);
  });
});

describe("POST /v1/webhook_endpoints/{id}", () => {
  it("changes what is given and nothing else", async () => {
    const { signing_secret: _, ...before } = await create();
    await age(before.id, 60_000);
    const response = await post(`${PATH}/${before.id}`, { event_types: ["batch.expired"] });
    expect(response.status).toBe(200);
    const after: WebhookEndpoint = await response.json();
    expect(after).toEqual({
      ...before,
      event_types: ["batch.expired"],
      updated_at: after.updated_at,
    });
    expect(await retrieve(before.id)).toEqual(after);
  });

  it.each([
    ["no body", ""],
    ["null", "null"],
    ["an empty object", "{}"],
    ["what is so already", asked()],
  ])("leaves updated_at as it is for %s", async (_, body) => {
    const { id } = await create();
    await age(id, 60_000);
    const before = await retrieve(id);
    expect(await (await post(`${PATH}/${id}`, body)).json()).toEqual(before);
    const changed: WebhookEndpoint = await (await post(`${PATH}/${id}`, { name: "new" })).json();
    expect(changed.updated_at).toBeGreaterThan(before.updated_at ?? 0);
  });

  it("disables and enables", async () => {
    const { id } = await create();
    const off = await (await post(`${PATH}/${id}`, { muster: { enabled: false } })).json();
    expect(off).toMatchObject({
      muster: {
        enabled: false,
        disabled_at: expect.any(Number),
        disabled_reason: "Disabled by an update.",
      },
    });
    const still = await (await post(`${PATH}/${id}`, { name: "other" })).json();
    expect(still).toMatchObject({ muster: { enabled: false } });
    const on = await (await post(`${PATH}/${id}`, { muster: { enabled: true } })).json();
    expect(on).toMatchObject({
      muster: { enabled: true, disabled_at: null, disabled_reason: null },
    });
  });

  it("enables with a URL, which the official client can send, unless told otherwise", async () => {
    const { id } = await create();
    await post(`${PATH}/${id}`, { muster: { enabled: false } });
    const url = "https://elsewhere.example.com/";
    const kept = await (await post(`${PATH}/${id}`, { url, muster: { enabled: false } })).json();
    expect(kept).toMatchObject({ url, muster: { enabled: false } });
    expect(await (await post(`${PATH}/${id}`, { url })).json()).toMatchObject({
      muster: { enabled: true },
    });
  });

  it.each([
    [{ url: "https://[fe80::1]/" }, "url"],
    [{ url: "" }, "url"],
    [{ name: "" }, "name"],
    [{ event_types: [] }, "event_types"],
    [{ event_types: ["batch.*"] }, "event_types[0]"],
    [{ muster: { enabled: "no" } }, "muster.enabled"],
  ])("refuses %j and changes nothing", async (change, param) => {
    const { id } = await create();
    const before = await retrieve(id);
    const response = await post(`${PATH}/${id}`, change);
    expect(response.status).toBe(400);
    expect((await errorOf(response)).param).toBe(param);
    expect(await retrieve(id)).toEqual(before);
  });
});

describe("POST /v1/webhook_endpoints/{id}/rotate_secret", () => {
  it("tells a new secret once", async () => {
    const made = await create();
    await age(made.id, 60_000);
    const aged = await retrieve(made.id);
    const response = await post(`${PATH}/${made.id}/rotate_secret`, "");
    const rotated: EndpointWithSecret = await response.json();
    expect(rotated.signing_secret).not.toBe(made.signing_secret);
    expect(rotated.signing_secret_hint).not.toBe(made.signing_secret_hint);
    expect(rotated.updated_at).toBeGreaterThan(aged.updated_at);
    const { signing_secret: _, ...shown } = rotated;
    expect(await retrieve(made.id)).toEqual(shown);
  });

  it("refuses what is not true or false", async () => {
    const { id } = await create();
    const response = await post(`${PATH}/${id}/rotate_secret`, {
      keep_old_secret_active_for_24_hours: "yes",
    });
    expect(response.status).toBe(400);
    expect((await errorOf(response)).param).toBe("keep_old_secret_active_for_24_hours");
  });
});

describe("an endpoint that is not this project's", () => {
  const steps: [string, (id: string, key: string) => Promise<Response>][] = [
    ["retrieve", (id, key) => call(`${PATH}/${id}`, {}, key)],
    ["update", (id, key) => post(`${PATH}/${id}`, { name: "mine" }, key)],
    ["rotate", (id, key) => post(`${PATH}/${id}/rotate_secret`, "", key)],
    ["delete", (id, key) => remove(id, key)],
  ];

  it.each(steps)("is the same 404 as none at all: %s", async (_, step) => {
    const { id } = await create();
    const before = await retrieve(id);
    const theirs = await step(id, OTHER_KEY);
    const none = await step("whe_none", DEFAULT_KEY);
    expect([theirs.status, none.status]).toEqual([404, 404]);
    expect((await theirs.text()).replaceAll(id, "ID")).toBe(
      (await none.text()).replaceAll("whe_none", "ID"),
    );
    expect(await retrieve(id)).toEqual(before);
  });

  it("is gone once it is deleted", async () => {
    const { id } = await create();
    expect(await (await remove(id)).json()).toEqual({
      id,
      object: "webhook_endpoint.deleted",
      deleted: true,
    });
    expect((await call(`${PATH}/${id}`)).status).toBe(404);
    expect((await remove(id)).status).toBe(404);
  });
});
