import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { z } from "zod";
import { readConfig } from "../config.ts";
import { checkTarget } from "../core/target.ts";
import type { NamedSecret } from "../project/endpoints.ts";
import type { Endpoint } from "../project/schema.ts";
import { projectStub } from "../stubs.ts";
import { type EndpointAttemptObject, endpointAttemptList } from "../wire/delivery.ts";
import type { Problem, Result } from "../wire/errors.ts";
import { eventType } from "../wire/event.ts";
import { newEndpointId } from "../wire/ids.ts";
import {
  deletedEndpoint,
  type EndpointWithSecret,
  endpointChange,
  endpointList,
  endpointTest,
  endpointTestResult,
  endpointWithSecret,
  eventTypeList,
  newEndpoint,
  rotation,
  type WebhookEndpoint,
  webhookEndpoint,
} from "../wire/webhook-endpoint.ts";
import { wholeInText } from "../wire/whole.ts";
import type { AppEnv } from "./auth.ts";
import { idParams, refused } from "./batches.ts";
import { attemptView } from "./deliveries.ts";
import { problemResponse } from "./errors.ts";
import { readJson } from "./json-body.ts";
import { onEndpoints, refusal, refusals } from "./openapi.ts";
import { testEndpoint } from "./test-endpoint.ts";

const PATH = "/v1/webhook_endpoints";

/** /v1/webhook_endpoints and /v1/webhook_event_types, as the official client calls them. */
export function addEndpointRoutes(app: OpenAPIHono<AppEnv>): void {
  addReading(app);
  addWriting(app);
  addTrying(app);
}

function addReading(app: OpenAPIHono<AppEnv>): void {
  const types = createRoute({
    method: "get",
    path: "/v1/webhook_event_types",
    operationId: "listWebhookEventTypes",
    summary: "List the events that endpoints can take",
    ...onEndpoints,
    responses: { 200: answer("The types.", eventTypeList), ...refusals },
  });
  app.openapi(types, (c) => c.json({ object: "list" as const, data: eventType.options }, 200));

  const list = createRoute({
    method: "get",
    path: PATH,
    operationId: "listWebhookEndpoints",
    summary: "List webhook endpoints, the newest first",
    ...onEndpoints,
    request: {
      query: z.object({
        // The official client writes a null as nothing.
        after: z.string().optional(),
        limit: wholeInText(1, 100).default(20),
      }),
    },
    responses: { 200: answer("A page of endpoints.", endpointList), ...refusals },
  });
  app.openapi(list, async (c) => {
    const { after, limit } = c.req.valid("query");
    const page = await projectOf(c).listEndpoints(after === "" ? undefined : after, limit);
    if (!page.ok) return refused(c, page.problem);
    const data = page.value.data.map(viewOf);
    const ends = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
    return c.json({ object: "list" as const, data, ...ends, has_more: page.value.hasMore }, 200);
  });

  const retrieve = createRoute({
    method: "get",
    path: `${PATH}/{id}`,
    operationId: "retrieveWebhookEndpoint",
    summary: "Look at a webhook endpoint",
    ...onEndpoints,
    request: { params: idParams },
    responses: { 200: answer("The endpoint.", webhookEndpoint), ...one },
  });
  app.openapi(retrieve, async (c) => {
    const found = await projectOf(c).getEndpoint(c.req.valid("param").id);
    return found.ok ? c.json(viewOf(found.value), 200) : refused(c, found.problem);
  });

  const remove = createRoute({
    method: "delete",
    path: `${PATH}/{id}`,
    operationId: "deleteWebhookEndpoint",
    summary: "Delete a webhook endpoint; what was still to be sent to it is not sent",
    ...onEndpoints,
    request: { params: idParams },
    responses: { 200: answer("It is deleted.", deletedEndpoint), ...one },
  });
  app.openapi(remove, async (c) => {
    const removed = await projectOf(c).removeEndpoint(c.req.valid("param").id);
    if (!removed.ok) return refused(c, removed.problem);
    const object = "webhook_endpoint.deleted" as const;
    return c.json({ id: removed.value, object, deleted: true }, 200);
  });
}

/** Routes with a body, which is read by hand: the official client may send none, or `null`. */
function addWriting(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerPath({
    method: "post",
    path: PATH,
    operationId: "createWebhookEndpoint",
    summary: "Add a webhook endpoint; every batch that ends from now on is announced to it",
    ...onEndpoints,
    request: { body: { required: true, ...json(newEndpoint) } },
    responses: {
      200: answer("The endpoint, with its secret.", endpointWithSecret),
      ...tooLarge,
      ...refusals,
    },
  });
  app.post(PATH, async (c) => {
    const asked = await readJson(c.req.raw, newEndpoint);
    if (!asked.ok) return problemResponse(c, asked.problem);
    const wrong = wrongTarget(c.env, asked.value.url);
    if (wrong !== undefined) return problemResponse(c, wrong);
    const { seed, isRetry } = c.get("once").making;
    const id = newEndpointId(seed);
    return secretAnswer(c, await projectOf(c).createEndpoint(id, asked.value, isRetry));
  });

  app.openAPIRegistry.registerPath({
    method: "post",
    path: `${PATH}/{id}`,
    operationId: "updateWebhookEndpoint",
    summary: "Change a webhook endpoint",
    ...onEndpoints,
    request: { params: idParams, body: json(endpointChange) },
    responses: { 200: answer("The endpoint.", webhookEndpoint), ...tooLarge, ...one },
  });
  app.post(`${PATH}/:id`, async (c) => {
    const change = await readJson(c.req.raw, endpointChange);
    if (!change.ok) return problemResponse(c, change.problem);
    const { url } = change.value;
    const wrong = url === undefined ? undefined : wrongTarget(c.env, url);
    if (wrong !== undefined) return problemResponse(c, wrong);
    const updated = await projectOf(c).updateEndpoint(c.req.param("id"), change.value);
    return updated.ok ? c.json(viewOf(updated.value)) : problemResponse(c, updated.problem);
  });

  app.openAPIRegistry.registerPath({
    method: "post",
    path: `${PATH}/{id}/rotate_secret`,
    operationId: "rotateWebhookSecret",
    summary: "Give a webhook endpoint a new secret",
    ...onEndpoints,
    request: { params: idParams, body: json(rotation) },
    responses: {
      200: answer("The endpoint, with its new secret.", endpointWithSecret),
      ...tooLarge,
      ...one,
    },
  });
  app.post(`${PATH}/:id/rotate_secret`, async (c) => {
    const asked = await readJson(c.req.raw, rotation);
    if (!asked.ok) return problemResponse(c, asked.problem);
    const keepOld = asked.value.keep_old_secret_active_for_24_hours;
    return secretAnswer(c, await projectOf(c).rotateEndpointSecret(c.req.param("id"), keepOld));
  });
}

/** Sending a sample event, and what sending came to. */
function addTrying(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerPath({
    method: "post",
    path: `${PATH}/{id}/test`,
    operationId: "testWebhookEndpoint",
    summary: "Send a sample event to a webhook endpoint, once and now, disabled or not",
    ...onEndpoints,
    request: { params: idParams, body: { required: true, ...json(endpointTest) } },
    responses: { 200: answer("What it answered.", endpointTestResult), ...tooLarge, ...one },
  });
  app.post(`${PATH}/:id/test`, async (c) => {
    const asked = await readJson(c.req.raw, endpointTest);
    if (!asked.ok) return problemResponse(c, asked.problem);
    const tested = await testEndpoint(c.env, c.get("project"), c.req.param("id"), asked.value);
    return tested.ok ? c.json(tested.value) : problemResponse(c, tested.problem);
  });

  const attempts = createRoute({
    method: "get",
    path: `${PATH}/{id}/attempts`,
    operationId: "listWebhookEndpointAttempts",
    summary: "See the last 100 attempts to send to a webhook endpoint, the newest first",
    ...onEndpoints,
    request: { params: idParams },
    responses: { 200: answer("The attempts.", endpointAttemptList), ...one },
  });
  app.openapi(attempts, async (c) => {
    const found = await projectOf(c).endpointAttempts(c.req.valid("param").id);
    if (!found.ok) return refused(c, found.problem);
    const data = found.value.map((row): EndpointAttemptObject => {
      const test = row.batch_id === null;
      return {
        object: "webhook_endpoint.attempt",
        test,
        event_id: row.event_id,
        event_type: row.type,
        batch_id: row.batch_id,
        delivery_id: test ? null : row.delivery_id,
        ...attemptView(row),
      };
    });
    return c.json({ object: "list" as const, data }, 200);
  });
}

const tooLarge = { 413: refusal("More than 64 KiB.") };
const one = { 404: refusal("No such webhook endpoint."), ...refusals };

function json<T extends z.ZodType>(schema: T) {
  return { content: { "application/json": { schema } } };
}

function answer<T extends z.ZodType>(description: string, schema: T) {
  return { description, ...json(schema) };
}

function projectOf(c: Context<AppEnv>) {
  return projectStub(c.env, c.get("project"));
}

function wrongTarget(env: Env, url: string): Problem | undefined {
  const target = checkTarget(url, { allowPrivate: readConfig(env).webhookAllowPrivate });
  if (target.ok) return undefined;
  return { code: "invalid_request", message: `url: ${target.reason}`, param: "url" };
}

function secretAnswer(c: Context<AppEnv>, made: Result<NamedSecret>): Response {
  if (!made.ok) return problemResponse(c, made.problem);
  const { endpoint, secret } = made.value;
  const body: EndpointWithSecret = { ...viewOf(endpoint), signing_secret: secret };
  return c.json(body);
}

function viewOf(endpoint: Endpoint): WebhookEndpoint {
  const { disabled_at } = endpoint;
  return {
    id: endpoint.id,
    object: "webhook_endpoint",
    name: endpoint.name,
    url: endpoint.url,
    event_types: endpoint.eventTypes,
    signing_secret_hint: endpoint.secretHint,
    created_at: Math.floor(endpoint.created_at / 1000),
    updated_at: Math.floor(endpoint.updated_at / 1000),
    muster: {
      enabled: disabled_at === null,
      disabled_at: disabled_at === null ? null : Math.floor(disabled_at / 1000),
      disabled_reason: endpoint.disabled_reason,
    },
  };
}
