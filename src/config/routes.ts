import { quoted } from "../core/quoted.ts";
import type { Api } from "./fields.ts";
import type { Quota, Upstream } from "./upstreams.ts";

/** One way for a call: the upstream, and the quota it counts against. */
export interface Route {
  upstream: Upstream;
  quota: Quota;
}

/**
 * The ways for a call, in the order of the configuration; none when nobody serves it.
 *
 * @param model the body's `model`, or "" when it has none: only `*` serves that.
 */
export function routesOf(upstreams: readonly Upstream[], endpoint: string, model: string): Route[] {
  const api = apiOf(endpoint);
  const routes: Route[] = [];
  for (const upstream of upstreams) {
    if (!upstream.apis.includes(api) || !matches(upstream.models, model)) continue;
    const quota = upstream.quotas.find(({ models }) => matches(models, model));
    // The last quota has the upstream's own models.
    if (quota !== undefined) routes.push({ upstream, quota });
  }
  return routes;
}

/** A quota by its name, or undefined when the configuration has it no more. */
export function quotaNamed(upstreams: readonly Upstream[], name: string): Quota | undefined {
  return upstreams.flatMap(({ quotas }) => quotas).find((quota) => quota.name === name);
}

/** The code of the error that {@link unservedBy} explains. */
export const MODEL_NOT_SERVED = "model_not_served";

/**
 * Why an endpoint's calls cannot be made, by model: a sentence that says what is served, or
 * undefined for a model that is.
 */
export function unservedBy(
  upstreams: readonly Upstream[],
  endpoint: string,
): (model: string | undefined) => string | undefined {
  const known = new Map<string, string | undefined>();
  const explain = (model: string) => {
    if (routesOf(upstreams, endpoint, model).length > 0) return undefined;
    const api = apiOf(endpoint);
    const served = upstreams.filter(({ apis }) => apis.includes(api));
    if (served.length === 0) {
      return `no upstream of this Muster has ${endpoint}; one whose 'api' is ${api} would.`;
    }
    const models = [...new Set(served.flatMap((upstream) => upstream.models))].join(", ");
    const what = model === "" ? "a body without a model" : `the model '${quoted(model)}'`;
    return `no upstream serves ${what} on ${endpoint}; served there: ${models}.`;
  };
  return (model = "") => {
    if (!known.has(model)) known.set(model, explain(model));
    return known.get(model);
  };
}

/** Anthropic's API has one endpoint, which OpenAI's has not. */
export function apiOf(endpoint: string): Api {
  return endpoint === "/v1/messages" ? "anthropic" : "openai";
}

/**
 * Where prompts for a model go when their sender does not say, by the upstreams as `GET /v1/upstreams`
 * shows them: to /v1/messages when the model is served there alone.
 */
export function promptEndpointOf(
  upstreams: readonly { api: readonly string[]; models: readonly string[] }[],
  model: string,
): "/v1/chat/completions" | "/v1/messages" {
  const isServed = (api: Api) =>
    upstreams.some((upstream) => upstream.api.includes(api) && matches(upstream.models, model));
  return !isServed("openai") && isServed("anthropic") ? "/v1/messages" : "/v1/chat/completions";
}

/** Whether one of the patterns is the model's name, `*` standing for any text. */
export function matches(patterns: readonly string[], model: string): boolean {
  return patterns.some((pattern) => matchesOne(pattern, model));
}

/** Without a regular expression: a pattern of many `*` must not take longer than its length. */
function matchesOne(pattern: string, model: string): boolean {
  const [head = "", ...rest] = pattern.split("*");
  const tail = rest.pop();
  if (tail === undefined) return model === head;
  if (!model.startsWith(head)) return false;
  let at = head.length;
  for (const part of rest) {
    const found = model.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return model.length - at >= tail.length && model.endsWith(tail);
}
