import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import { ConfigError, readConfig } from "../config.ts";
import { projectStub } from "../stubs.ts";
import type { AppEnv } from "./auth.ts";

const readiness = z
  .object({
    status: z.enum(["ready", "not_ready"]),
    problems: z.array(z.string()).meta({ description: "What is missing, and how to mend it." }),
  })
  .meta({ id: "Readiness" });

/** The object that /readyz asks whether objects answer. No key opens a project of that name. */
const PROBE = "~ready";

/** GET /healthz: the Worker answers. GET /readyz: it could take a batch now. */
export function addHealthRoutes(app: OpenAPIHono<AppEnv>): void {
  const answer = (description: string, schema: z.ZodType) => ({
    description,
    content: { "application/json": { schema } },
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/healthz",
    operationId: "health",
    summary: "Whether the Worker answers",
    tags: ["Operation"],
    security: [],
    responses: { 200: answer("It does.", z.object({ status: z.literal("ok") })) },
  });
  app.get("/healthz", (c) => c.json({ status: "ok" }));

  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/readyz",
    operationId: "readiness",
    summary: "Whether a batch could be taken now",
    tags: ["Operation"],
    security: [],
    responses: { 200: answer("Yes.", readiness), 503: answer("Not yet.", readiness) },
  });
  app.get("/readyz", async (c) => {
    const problems = [...missing(c.env), ...(await silent(c.env))];
    const ready = problems.length === 0;
    return c.json({ status: ready ? "ready" : "not_ready", problems }, ready ? 200 : 503);
  });
}

/** What the settings lack. */
function missing(env: Env): string[] {
  try {
    const { apiKeys, adminKey, upstreams } = readConfig(env);
    const closed = apiKeys.length === 0 && adminKey === undefined;
    return [
      ...(closed ? ["No API keys: set the secret MUSTER_API_KEYS."] : []),
      ...(upstreams.length > 0
        ? []
        : ["No upstream: set UPSTREAM_BASE_URL, and UPSTREAM_API_KEY, or UPSTREAMS."]),
    ];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

/** Whether Durable Objects do not answer. */
async function silent(env: Env): Promise<string[]> {
  try {
    await projectStub(env, PROBE).ping();
    return [];
  } catch {
    return ["Durable Objects do not answer; see Cloudflare's status page, and this Worker's log."];
  }
}
