import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, describe, expect, inject, it } from "vitest";
import { createApp } from "../../src/api/app.ts";
import { projectStub } from "../../src/stubs.ts";
import { ENDPOINTS, type Endpoint } from "../../src/wire/batch.ts";
import type {} from "../support/provided.ts";
import {
  call,
  chatLine,
  ended,
  FORM_TYPE,
  type FormPart,
  formBytes,
  open,
  unique,
  until,
} from "../support/worker/client.ts";
import { upstreamOf } from "../support/worker/faults.ts";
import { request } from "../support/worker/messages.ts";

/** A request, ready to be sent more than once. */
interface Ready {
  path: string;
  body?: BodyInit;
  type?: string;
}

const HOOK = `${inject("receiverUrl")}/ok/once`;

function send({ path, body, type }: Ready, key: string): Promise<Response> {
  const headers: Record<string, string> = { "idempotency-key": key };
  if (type !== undefined) headers["content-type"] = type;
  return call(path, { method: "POST", headers, ...(body !== undefined && { body }) });
}

async function made(ready: Ready): Promise<{ id: string }> {
  const response = await send(ready, crypto.randomUUID());
  const text = await response.text();
  if (!response.ok) throw new Error(`POST ${ready.path}: ${response.status} ${text}`);
  return JSON.parse(text) as { id: string };
}

const json = (value: unknown): { body: string } => ({ body: JSON.stringify(value) });
const form = (...parts: FormPart[]) => ({ body: formBytes(parts) as BodyInit, type: FORM_TYPE });

const newEndpoint = (): Ready => ({
  path: "/v1/webhook_endpoints",
  ...json({ name: unique("n").slice(0, 30), url: HOOK, event_types: ["batch.completed"] }),
});
const newUpload = (bytes: number): Ready => ({
  path: "/v1/uploads",
  ...json({ bytes, filename: "a.jsonl", mime_type: "application/jsonl", purpose: "batch" }),
});
const part = (id: string, content: string): Ready => ({
  path: `/v1/uploads/${id}/parts`,
  ...form({ name: "data", filename: "data", content }),
});
const stuck = () => open({ model: "m", prompts: [unique("[hang always]")] });
const failed = async () => {
  const { id } = await open({ model: "m", prompts: [unique("[400]")], webhook: { url: HOOK } });
  await ended(id);
  return id;
};

const messages = (prompt: string): Ready => ({
  path: "/v1/messages/batches",
  ...json({ requests: [request("a", prompt)] }),
});
/** One call, in a body that has what any of the endpoints wants. */
const single = (path: Endpoint): [string, () => Promise<Ready>] => [
  path,
  async () => {
    const prompt = unique("a");
    const asked = { messages: [{ role: "user", content: prompt }], input: prompt, prompt };
    return { path, ...json({ model: "m", max_tokens: 9, ...asked, size: "1024x1024" }) };
  },
];

/** A request to each route that takes a POST. */
const READY: Record<string, () => Promise<Ready>> = {
  "/v1/batches": async () => ({
    path: "/v1/batches",
    ...json({ model: "m", prompts: [unique("a")] }),
  }),
  "/v1/batches/:id/cancel": async () => ({ path: `/v1/batches/${(await stuck()).id}/cancel` }),
  "/v1/batches/:id/pause": async () => ({ path: `/v1/batches/${(await stuck()).id}/pause` }),
  "/v1/batches/:id/resume": async () => ({ path: `/v1/batches/${(await stuck()).id}/resume` }),
  "/v1/batches/:id/retry": async () => ({ path: `/v1/batches/${await failed()}/retry` }),
  "/v1/batches/:id/deliveries/:delivery_id/resend": async () => {
    const id = await failed();
    const list = await until(
      async () =>
        (await (await call(`/v1/batches/${id}/deliveries`)).json()) as { data: { id: string }[] },
      ({ data }) => data.length > 0,
    );
    return { path: `/v1/batches/${id}/deliveries/${list.data[0]?.id}/resend` };
  },
  "/v1/files": async () => ({
    path: "/v1/files",
    ...form(
      { name: "purpose", content: "batch" },
      { name: "file", filename: "a.jsonl", content: chatLine("a", unique("a")) },
    ),
  }),
  "/v1/uploads": async () => newUpload(3),
  "/v1/uploads/:id/parts": async () => part((await made(newUpload(3))).id, "{}\n"),
  "/v1/uploads/:id/complete": async () => {
    const { id } = await made(newUpload(3));
    const { id: part_id } = await made(part(id, "{}\n"));
    return { path: `/v1/uploads/${id}/complete`, ...json({ part_ids: [part_id] }) };
  },
  "/v1/uploads/:id/cancel": async () => ({
    path: `/v1/uploads/${(await made(newUpload(3))).id}/cancel`,
  }),
  "/v1/messages/batches": async () => messages(unique("a")),
  "/v1/messages/batches/:id/cancel": async () => ({
    path: `/v1/messages/batches/${(await made(messages(unique("[hang always]")))).id}/cancel`,
  }),
  ...Object.fromEntries(ENDPOINTS.map(single)),
  "/v1/webhook_endpoints": async () => newEndpoint(),
  "/v1/webhook_endpoints/:id": async () => ({
    path: `/v1/webhook_endpoints/${(await made(newEndpoint())).id}`,
    ...json({ name: "another" }),
  }),
  "/v1/webhook_endpoints/:id/rotate_secret": async () => ({
    path: `/v1/webhook_endpoints/${(await made(newEndpoint())).id}/rotate_secret`,
    ...json({}),
  }),
  "/v1/webhook_endpoints/:id/test": async () => ({
    path: `/v1/webhook_endpoints/${(await made(newEndpoint())).id}/test`,
    ...json({ event_type: "batch.completed" }),
  }),
};

/** What makes something new, whose id must come from the key. */
const CREATING = [
  "/v1/batches",
  "/v1/messages/batches",
  "/v1/files",
  "/v1/uploads",
  "/v1/uploads/:id/parts",
  "/v1/webhook_endpoints",
];

/** Forgets the answer and keeps the rest: as it stands after a crash before the answer was kept. */
async function forgetAnswer(key: string): Promise<void> {
  await runInDurableObject(projectStub(env, "default"), (_, { storage }) => {
    storage.sql.exec("UPDATE idempotency SET status = NULL WHERE key = ?", key);
  });
}

afterAll(async () => {
  const list: { data: { id: string }[] } = await (
    await call("/v1/webhook_endpoints?limit=100")
  ).json();
  for (const { id } of list.data) await call(`/v1/webhook_endpoints/${id}`, { method: "DELETE" });
});

describe("a POST with an Idempotency-Key", () => {
  it("is possible everywhere: no route is left out below", () => {
    // The administrator's own routes answer with keys, which are never kept; see organization tests.
    const routes = createApp().routes.filter(
      ({ method, path }) => method === "POST" && !path.startsWith("/v1/organization/"),
    );
    expect(Object.keys(READY).toSorted()).toEqual(
      [...new Set(routes.map(({ path }) => path))].toSorted(),
    );
  });

  it.each(Object.keys(READY))("to %s is done once, and answered twice the same", async (route) => {
    const ready = await (READY[route] ?? expect.fail(route))();
    const key = crypto.randomUUID();
    const first = await send(ready, key);
    const text = await first.text();
    expect({ ok: first.ok, text }).toMatchObject({ ok: true });
    expect(first.headers.has("idempotency-replayed")).toBe(false);
    const second = await send(ready, key);
    expect(await second.text()).toBe(text);
    expect(second.status).toBe(first.status);
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(second.headers.get("content-type")).toBe(first.headers.get("content-type"));
  });

  it("calls the upstream once for a single call, and keeps no stream", async () => {
    const prompt = unique("a");
    const ready = (stream: boolean): Ready => ({
      path: "/v1/chat/completions",
      ...json({ model: "m", messages: [{ role: "user", content: prompt }], stream }),
    });
    const key = crypto.randomUUID();
    for (const _ of [1, 2]) await (await send(ready(false), key)).text();
    expect((await upstreamOf(prompt)).calls).toBe(1);
    const streamed = crypto.randomUUID();
    for (const calls of [2, 3]) {
      const response = await send(ready(true), streamed);
      expect(response.headers.get("content-type")).toContain("text/event-stream");
      expect(await response.text()).toContain("[DONE]");
      expect((await upstreamOf(prompt)).calls).toBe(calls);
    }
  });

  it.each(CREATING)(
    "to %s makes the same again after a crash before its answer was kept",
    async (route) => {
      const ready = await (READY[route] ?? expect.fail(route))();
      const key = crypto.randomUUID();
      const first = (await (await send(ready, key)).json()) as { id: string; secret?: string };
      await forgetAnswer(key);
      const second = await send(ready, key);
      expect(second.headers.has("idempotency-replayed")).toBe(false);
      const again = (await second.json()) as { id: string; secret?: string };
      expect([again.id, again.secret]).toEqual([first.id, first.secret]);
    },
  );
});
