import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { Quota, Upstream } from "../config/upstreams.ts";
import { readConfig } from "../config.ts";
import { limiterStub } from "../stubs.ts";
import { type UpstreamObject, upstreamList } from "../wire/upstream.ts";
import type { AppEnv } from "./auth.ts";
import { refusals } from "./openapi.ts";

/** GET /v1/upstreams: what is configured, and how the quotas stand. */
export function addUpstreamsRoute(app: OpenAPIHono<AppEnv>): void {
  const route = createRoute({
    method: "get",
    path: "/v1/upstreams",
    operationId: "listUpstreams",
    summary: "See the upstreams, their limits, calls in flight and cooldowns",
    tags: ["Operation"],
    security: [{ apiKey: [] }],
    responses: {
      200: {
        description: "The upstreams, in the order of the configuration.",
        content: { "application/json": { schema: upstreamList } },
      },
      ...refusals,
    },
  });
  app.openapi(route, async (c) => {
    const { upstreams } = readConfig(c.env);
    const data = await Promise.all(upstreams.map((upstream) => viewOf(c.env, upstream)));
    return c.json({ object: "list" as const, data }, 200);
  });
}

async function viewOf(env: Env, upstream: Upstream): Promise<UpstreamObject> {
  const quotas = await Promise.all(upstream.quotas.map((quota) => quotaView(env, quota)));
  const [downSince = null] = quotas.flatMap(({ down_since }) => down_since ?? []).toSorted();
  return {
    object: "upstream",
    name: upstream.name,
    base_url: upstream.baseUrl,
    api: [...upstream.apis],
    models: upstream.models,
    stream_chat: upstream.streamChat,
    timeout_ms: upstream.timeoutMs,
    health: downSince === null ? "up" : "down",
    down_since: downSince,
    quotas,
  };
}

async function quotaView(
  env: Env,
  { name, models, limits }: Quota,
): Promise<UpstreamObject["quotas"][number]> {
  const state = await limiterStub(env, name).state(name);
  const rests = state.cooldownUntilMs > Date.now();
  return {
    name,
    models,
    limits: {
      rpm: limits.rpm ?? null,
      tpm: limits.tpm ?? null,
      burst: limits.burst ?? null,
      max_concurrency: limits.maxConcurrency,
    },
    learned: {
      rpm: rounded(state.told.rpm),
      tpm: rounded(state.told.tpm),
      told_at: state.told.atMs === null ? null : new Date(state.told.atMs).toISOString(),
      pace_rpm: rounded(state.pace),
    },
    in_force: {
      rpm: rounded(state.inForce?.rpm ?? null),
      tpm: rounded(state.inForce?.tpm ?? null),
      max_concurrency: state.inForce?.maxConcurrency ?? limits.maxConcurrency,
    },
    in_flight: state.inFlight,
    waiting: state.waiting,
    batches: state.batches,
    cooldown_until: rests ? new Date(state.cooldownUntilMs).toISOString() : null,
    throttles: state.throttles,
    health: state.downSinceMs !== null ? "down" : rests ? "cooldown" : "healthy",
    down_since: state.downSinceMs === null ? null : new Date(state.downSinceMs).toISOString(),
  };
}

/** To a hundredth: what is learned is no whole number. */
function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value * 100) / 100;
}
