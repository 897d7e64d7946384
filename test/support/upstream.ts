import type { Upstream } from "../../src/config/upstreams.ts";
import type { UpstreamLimits } from "../../src/core/limits.ts";

/** An upstream of a test's own, with one quota for all models. */
export function upstreamAt(
  baseUrl: string,
  limits: UpstreamLimits = { maxConcurrency: 50 },
  change: Partial<Upstream> = {},
): Upstream {
  const { name = "default", models = ["*"] } = change;
  return {
    name,
    baseUrl,
    apis: ["openai"],
    models,
    quotas: [{ name, models, limits }],
    timeoutMs: 120_000,
    streamChat: false,
    idleTimeoutMs: 60_000,
    ...change,
  };
}
