import OpenAI, { AuthenticationError, PermissionDeniedError } from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Running, startTestMuster } from "../support/muster.ts";

/** Projects and their keys by the official client, at its own routes. */

const ADMIN_KEY = "sk-muster-conformance-admin-key";
let muster: Running;
let admin: OpenAI;
const clientWith = (apiKey: string) =>
  new OpenAI({ baseURL: muster.url, apiKey, maxRetries: 0, fetch: muster.fetch });

beforeAll(async () => {
  muster = await startTestMuster({}, { MUSTER_ADMIN_KEY: ADMIN_KEY });
  admin = new OpenAI({ baseURL: muster.url, adminAPIKey: ADMIN_KEY, fetch: muster.fetch });
});
afterAll(() => muster?.stop());

test("makes, lists, changes and archives a project", async () => {
  const { projects } = admin.admin.organization;
  const made = await projects.create({ name: "Nightly" });
  expect(made).toMatchObject({ object: "organization.project", name: "Nightly", status: "active" });
  expect(await projects.retrieve(made.id)).toEqual(made);
  expect((await projects.update(made.id, { name: "Daily" })).name).toBe("Daily");
  const listed: string[] = [];
  for await (const { id } of projects.list({ limit: 1 })) listed.push(id);
  expect(listed).toEqual(expect.arrayContaining(["default", made.id]));
  expect((await projects.archive(made.id)).status).toBe("archived");
});

test("looks at, changes and revokes a project's keys, which hold at once", async () => {
  const { projects } = admin.admin.organization;
  const { id: project_id } = await projects.create({ name: "Keys" });
  const made: { id: string; value: string } = await admin.post(
    `/organization/projects/${project_id}/api_keys`,
    { body: { name: "a key" }, __security: { adminAPIKeyAuth: true } },
  );
  const client = clientWith(made.value);
  expect((await client.batches.list()).data).toEqual([]);

  const key = await projects.apiKeys.retrieve(made.id, { project_id });
  expect(key).toMatchObject({ object: "organization.project.api_key", name: "a key" });
  const listed: string[] = [];
  for await (const { id } of projects.apiKeys.list(project_id)) listed.push(id);
  expect(listed).toEqual([made.id]);

  await projects.apiKeys.update(made.id, { project_id, scopes: ["read"] });
  await expect(client.webhooks.test("whe_1", { event_type: "batch.completed" })).rejects.toThrow(
    PermissionDeniedError,
  );
  expect(await projects.apiKeys.delete(made.id, { project_id })).toMatchObject({ deleted: true });
  await expect(client.batches.list()).rejects.toThrow(AuthenticationError);
});
