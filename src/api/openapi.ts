import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import { errorBody } from "../wire/errors.ts";
import { MAX_KEY_LENGTH } from "../wire/idempotency.ts";
import type { AppEnv } from "./auth.ts";
import { atMessages, atOrganization } from "./errors.ts";

/** What every /v1 route on batches has, every one on files, and every one on endpoints. */
export const onBatches = { tags: ["Batches"], security: [{ apiKey: [] }] };
export const onFiles = { tags: ["Files"], security: [{ apiKey: [] }] };
export const onEndpoints = { tags: ["Webhooks"], security: [{ apiKey: [] }] };

export const onOrganization = { tags: ["Organization"], security: [{ adminKey: [] }] };

/** The responses every /v1 route may give besides its own. */
export const refusals = {
  400: refusal("Wrong input; `param` names the field."),
  401: refusal("No key, or one that is not known."),
  403: refusal("The key's scope is `read`."),
  429: refusal("Too many requests, or a quota is used up; `retry-after` says how long to wait."),
  500: refusal("Muster failed."),
  503: refusal("Muster is not configured."),
};

/** A response in the error shape. */
export function refusal(description: string) {
  return { description, content: { "application/json": { schema: errorBody } } };
}

/** The answer to a client that has what it asks for, by its ETag. */
export const notModified = {
  304: { description: "As the client knows it, by the ETag in its If-None-Match." },
};

/** Puts a schema into the document that no JSON answer has as a whole. */
export function addSchema(app: OpenAPIHono<AppEnv>, name: string, { shape }: z.ZodObject): void {
  // Not `register`: it needs a schema that was made after the router's own module was loaded.
  const { $schema, ...schema } = z.toJSONSchema(z.object(shape), { io: "input" });
  app.openAPIRegistry.registerComponent("schemas", name, schema as never);
}

/** JSONL, each line of which is as a registered schema says. */
export function jsonLines(line: string) {
  return z.string().meta({
    contentMediaType: "application/jsonl",
    contentSchema: { type: "array", items: { $ref: `#/components/schemas/${line}` } },
  });
}

/** Serves /openapi.json, made from the routes and their schemas. */
export function addDocument(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "apiKey", {
    type: "http",
    scheme: "bearer",
    description: "A project's key: one of MUSTER_API_KEYS, or made at /v1/organization.",
  });
  app.openAPIRegistry.registerComponent("securitySchemes", "adminKey", {
    type: "http",
    scheme: "bearer",
    description: "MUSTER_ADMIN_KEY. It opens /v1/organization and nothing else.",
  });
  app.get("/openapi.json", (c) => c.json(withBodies(app.getOpenAPI31Document(ABOUT))));
}

const ABOUT = {
  openapi: "3.1.0",
  info: {
    title: "Muster",
    version: "0.1.0",
    description:
      "Fans a batch of AI API calls out and musters every result. Files and batches are OpenAI's; what is Muster's own is in a batch's `muster`. Every response has an `x-request-id`.",
    license: { name: "MIT", identifier: "MIT" },
  },
  // Relative to where the document is: a Muster does not know all names it is reached by.
  servers: [{ url: "/", description: "This Muster" }],
  tags: [
    { name: "Batches", description: "Many calls as one, and their results." },
    {
      name: "Message batches",
      description:
        "The same batches for Anthropic's clients, whose base URL is without /v1: those that call `/v1/messages`. A batch's id is `batch_…` at the other doors and `msgbatch_…` here; each door takes both.",
    },
    { name: "Operation", description: "Whether it works, in words and in numbers." },
    {
      name: "Files",
      description: "Request lines on their way in, output lines on their way out.",
    },
    { name: "Calls", description: "Single calls, beside batches." },
    { name: "Organization", description: "Projects and their keys, for who runs this Muster." },
    { name: "Webhooks", description: "Where a project hears that its batches have ended." },
  ],
};

/**
 * Adds to every POST what `Idempotency-Key` does there, see once.ts; and to every route that takes a
 * body how that may be refused before anybody reads it, see encoding.ts.
 */
function withBodies(document: ReturnType<OpenAPIHono["getOpenAPI31Document"]>) {
  for (const [path, { post, patch }] of Object.entries(document.paths ?? {})) {
    const shape = atMessages(path) ? "AnthropicError" : "Error";
    for (const route of [post, patch]) {
      if (route !== undefined) route.responses = { ...bodyRefusals(shape), ...route.responses };
    }
    if (post === undefined || atOrganization(path)) continue;
    post.parameters = [...(post.parameters ?? []), KEY];
    post.responses = { ...keyRefusals(shape), ...post.responses };
  }
  return document;
}

const KEY = {
  name: "Idempotency-Key",
  in: "header" as const,
  description:
    "Makes sending it again safe: for 24 hours the same key with the same body gets the first answer again, with `Idempotency-Replayed: true`. Refusals and failures are not kept.",
  schema: { type: "string" as const, minLength: 1, maxLength: MAX_KEY_LENGTH },
};

/** @param shape of errors, by its name among the schemas. */
function refusalAs(shape: string, description: string) {
  const schema = { $ref: `#/components/schemas/${shape}` };
  return { description, content: { "application/json": { schema } } };
}

function keyRefusals(shape: string) {
  return {
    409: refusalAs(shape, "A request with this Idempotency-Key is still under way. Send it again."),
    422: refusalAs(shape, "This Idempotency-Key came with another request before."),
  };
}

function bodyRefusals(shape: string) {
  return {
    413: refusalAs(shape, "The body is too long, or inflates to too much."),
    415: refusalAs(shape, "A Content-Encoding other than gzip."),
  };
}
