import { apiOf } from "./routes.ts";
import type { Upstream } from "./upstreams.ts";

/** How an upstream is addressed: where an endpoint is, and who calls. */

/** For bodies that came without a version: the one that all of Anthropic's examples are of. */
const ANTHROPIC_VERSION = "2023-06-01";

/** Bases of OpenAI's kind end in a version; Anthropic's users leave it out. */
export function urlOf({ baseUrl }: Upstream, endpoint: string): string {
  const whole = apiOf(endpoint) === "anthropic" && !/\/v\d+$/.test(baseUrl);
  return baseUrl + (whole ? endpoint : endpoint.slice("/v1".length));
}

/** The headers that carry the upstream's key, as the endpoint's API wants them. */
export function keyHeaders({ apiKey }: Upstream, endpoint: string): Record<string, string> {
  switch (apiOf(endpoint)) {
    case "openai":
      return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
    case "anthropic":
      return {
        "anthropic-version": ANTHROPIC_VERSION,
        ...(apiKey === undefined ? {} : { "x-api-key": apiKey }),
      };
  }
}
