import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { z } from "zod";
import { redactedKey } from "../../core/api-key.ts";
import type { KeyWithValue } from "../../gate/gate.ts";
import type { KeyRow } from "../../gate/schema.ts";
import {
  type ApiKeyObject,
  apiKeyChange,
  apiKeyList,
  apiKeyObject,
  apiKeyWithValue,
  deletedApiKey,
  keyRotation,
  newApiKey,
  scope,
} from "../../wire/api-key.ts";
import type { Result } from "../../wire/errors.ts";
import { newApiKeyId } from "../../wire/ids.ts";
import { wholeInText } from "../../wire/whole.ts";
import type { AppEnv } from "../auth.ts";
import { refused } from "../batches.ts";
import { problemResponse } from "../errors.ts";
import { readJson } from "../json-body.ts";
import { onOrganization } from "../openapi.ts";
import { adminRefusals, answer, json, noKey, noProject, tooLarge } from "./document.ts";
import { gateOf } from "./find.ts";

const PATH = "/v1/organization/projects/{project_id}/api_keys";
const ROUTE = "/v1/organization/projects/:project_id/api_keys";
const ofProject = z.object({ project_id: z.string() });
const ofKey = z.object({ project_id: z.string(), key_id: z.string() });

/** The API keys of a project: OpenAI's routes, with creation and rotation beside them. */
export function addApiKeyRoutes(app: OpenAPIHono<AppEnv>): void {
  addReading(app);
  addMaking(app);
  addChanging(app);
}

function addReading(app: OpenAPIHono<AppEnv>): void {
  const list = createRoute({
    method: "get",
    path: PATH,
    operationId: "listProjectApiKeys",
    summary: "List a project's API keys, the oldest first",
    ...onOrganization,
    request: {
      params: ofProject,
      query: z.object({
        after: z.string().optional(),
        limit: wholeInText(1, 100).default(20),
      }),
    },
    responses: { 200: answer("A page of keys.", apiKeyList), ...noProject, ...adminRefusals },
  });
  app.openapi(list, async (c) => {
    const { project_id: project } = c.req.valid("param");
    const page = await (await gateOf(c.env, project)).listKeys(project, c.req.valid("query"));
    if (!page.ok) return refused(c, page.problem);
    const data = page.value.data.map((row) => viewOf(project, row));
    const ends = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
    return c.json({ object: "list" as const, data, ...ends, has_more: page.value.hasMore }, 200);
  });

  const retrieve = createRoute({
    method: "get",
    path: `${PATH}/{key_id}`,
    operationId: "retrieveProjectApiKey",
    summary: "Look at an API key",
    ...onOrganization,
    request: { params: ofKey },
    responses: { 200: answer("The key.", apiKeyObject), ...noKey, ...adminRefusals },
  });
  app.openapi(retrieve, async (c) => {
    const { project_id: project, key_id: id } = c.req.valid("param");
    const found = await (await gateOf(c.env, project)).getKey(project, id);
    return found.ok ? c.json(viewOf(project, found.value), 200) : refused(c, found.problem);
  });

  const remove = createRoute({
    method: "delete",
    path: `${PATH}/{key_id}`,
    operationId: "deleteProjectApiKey",
    summary: "Revoke an API key: the next request with it is refused",
    ...onOrganization,
    request: { params: ofKey },
    responses: { 200: answer("It is deleted.", deletedApiKey), ...noKey, ...adminRefusals },
  });
  app.openapi(remove, async (c) => {
    const { project_id: project, key_id: id } = c.req.valid("param");
    const removed = await (await gateOf(c.env, project)).removeKey(project, id);
    if (!removed.ok) return refused(c, removed.problem);
    const object = "organization.project.api_key.deleted" as const;
    return c.json({ object, id: removed.value, deleted: true as const }, 200);
  });
}

/** Routes that answer with a key's value. Nothing keeps it, so nothing says it again. */
function addMaking(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerPath({
    method: "post",
    path: PATH,
    operationId: "createProjectApiKey",
    summary: "Make an API key; its value is told once",
    ...onOrganization,
    request: { params: ofProject, body: { required: true, ...json(newApiKey) } },
    responses: {
      200: answer("The key, with its value.", apiKeyWithValue),
      ...noProject,
      ...tooLarge,
      ...adminRefusals,
    },
  });
  app.post(ROUTE, async (c) => {
    const project = c.req.param("project_id");
    const asked = await readJson(c.req.raw, newApiKey);
    if (!asked.ok) return problemResponse(c, asked.problem);
    const gate = await gateOf(c.env, project);
    return made(c, project, await gate.createKey(project, newApiKeyId(), asked.value));
  });

  app.openAPIRegistry.registerPath({
    method: "post",
    path: `${PATH}/{key_id}/rotate`,
    operationId: "rotateProjectApiKey",
    summary: "Give an API key a new value; the old one is good for a grace",
    ...onOrganization,
    request: { params: ofKey, body: json(keyRotation) },
    responses: {
      200: answer("The key, with its new value.", apiKeyWithValue),
      ...noKey,
      ...tooLarge,
      ...adminRefusals,
    },
  });
  app.post(`${ROUTE}/:key_id/rotate`, async (c) => {
    const { project_id: project, key_id: id } = c.req.param();
    const asked = await readJson(c.req.raw, keyRotation);
    if (!asked.ok) return problemResponse(c, asked.problem);
    const gate = await gateOf(c.env, project);
    return made(c, project, await gate.rotateKey(project, id, asked.value.grace_seconds * 1000));
  });
}

function addChanging(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerPath({
    method: "post",
    path: `${PATH}/{key_id}`,
    operationId: "updateProjectApiKey",
    summary: "Change an API key's name, scopes and expiry",
    ...onOrganization,
    request: { params: ofKey, body: { required: true, ...json(apiKeyChange) } },
    responses: {
      200: answer("The key.", apiKeyObject),
      ...noKey,
      ...tooLarge,
      ...adminRefusals,
    },
  });
  app.post(`${ROUTE}/:key_id`, async (c) => {
    const { project_id: project, key_id: id } = c.req.param();
    const change = await readJson(c.req.raw, apiKeyChange);
    if (!change.ok) return problemResponse(c, change.problem);
    const changed = await (await gateOf(c.env, project)).updateKey(project, id, change.value);
    return changed.ok
      ? c.json(viewOf(project, changed.value))
      : problemResponse(c, changed.problem);
  });
}

function made(c: Context<AppEnv>, project: string, key: Result<KeyWithValue>): Response {
  if (!key.ok) return problemResponse(c, key.problem);
  c.header("cache-control", "no-store");
  return c.json({ ...viewOf(project, key.value.row), value: key.value.value });
}

function viewOf(project: string, row: KeyRow): ApiKeyObject {
  const seconds = (ms: number | null) => (ms === null ? null : Math.floor(ms / 1000));
  const created_at = Math.floor(row.created_at / 1000);
  return {
    object: "organization.project.api_key",
    id: row.id,
    name: row.name,
    redacted_value: redactedKey(project, row.hint),
    created_at,
    last_used_at: seconds(row.last_used_at),
    expires_at: seconds(row.expires_at),
    scopes: scope.array().parse(row.scopes.split(",")),
    owner: {
      type: "service_account",
      service_account: { id: row.id, name: row.name, created_at, role: "member" },
    },
    owner_project_access: "active",
  };
}
