import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { type AnthropicError, errorTypeOf } from "../wire/anthropic/error.ts";
import type { ErrorBody, Problem } from "../wire/errors.ts";
import type { AppEnv } from "./auth.ts";

/** Whether a path is behind Anthropic's door: errors and headers have Anthropic's shape there. */
export function atMessages(path: string): boolean {
  return path === "/v1/messages" || path.startsWith("/v1/messages/");
}

/** Whether a path is one of the administrator's, which the admin key opens and no other. */
export function atOrganization(path: string): boolean {
  return path === "/v1/organization" || path.startsWith("/v1/organization/");
}

/**
 * How a problem becomes a response. A conflict is 400, not 409: the official SDKs repeat a 409 by
 * themselves. That is just what is wanted when the first request with a key is still under way.
 */
const STATUS: Record<Problem["code"], ContentfulStatusCode> = {
  not_found: 404,
  invalid_request: 400,
  conflict: 400,
  invalid_api_key: 401,
  insufficient_permissions: 403,
  quota_exceeded: 429,
  too_large: 413,
  unsupported_media_type: 415,
  method_not_allowed: 405,
  rate_limited: 429,
  upstream_unreachable: 502,
  upstream_timeout: 504,
  not_configured: 503,
  idempotency_key_reused: 422,
  idempotency_key_in_use: 409,
};

/** The answer to a request that was refused, in the error shape of the door it came to. */
export function problemResponse(c: Context<AppEnv>, problem: Problem): Response {
  const status = STATUS[problem.code];
  if (atMessages(c.req.path)) {
    return withAdvice(problem, anthropicResponse(c, status, problem.message));
  }
  const body: ErrorBody = {
    error: {
      message: problem.message,
      type: status >= 500 ? "server_error" : "invalid_request_error",
      param: problem.param ?? null,
      code: problem.reason ?? (problem.code === "invalid_request" ? null : problem.code),
    },
  };
  return withAdvice(problem, c.json(body, status));
}

/**
 * A quota is used up until something ends or is deleted, which takes a minute at least; the official
 * clients need not try three times within one, and `x-should-retry` keeps them from it.
 */
function withAdvice({ code }: Problem, response: Response): Response {
  if (code !== "quota_exceeded") return response;
  response.headers.set("retry-after", "60");
  response.headers.set("x-should-retry", "false");
  return response;
}

/** The answer to a request that met a bug. */
export function failureResponse(c: Context<AppEnv>): Response {
  const message = `Muster failed to answer. Its log names this request: ${c.get("requestId")}.`;
  if (atMessages(c.req.path)) return anthropicResponse(c, 500, message);
  const error = { message, type: "server_error", param: null, code: "internal_error" };
  return c.json({ error } satisfies ErrorBody, 500);
}

function anthropicResponse(
  c: Context<AppEnv>,
  status: ContentfulStatusCode,
  message: string,
): Response {
  const body: AnthropicError = {
    type: "error",
    error: { type: errorTypeOf(status), message },
    request_id: c.get("requestId"),
  };
  return c.json(body, status);
}
