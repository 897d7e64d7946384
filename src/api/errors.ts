import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { ErrorBody, Problem } from "../wire/errors.ts";

/**
 * How a problem becomes a response. A conflict is 400, not 409: the official SDKs repeat a 409 by
 * themselves. That is just what is wanted when the first request with a key is still under way.
 */
const STATUS: Record<Problem["code"], ContentfulStatusCode> = {
  not_found: 404,
  invalid_request: 400,
  conflict: 400,
  invalid_api_key: 401,
  too_large: 413,
  unsupported_media_type: 415,
  method_not_allowed: 405,
  not_configured: 503,
  idempotency_key_reused: 422,
  idempotency_key_in_use: 409,
};

/** The answer to a request that was refused, in OpenAI's error shape. */
export function problemResponse(c: Context, problem: Problem): Response {
  const status = STATUS[problem.code];
  const body: ErrorBody = {
    error: {
      message: problem.message,
      type: status >= 500 ? "server_error" : "invalid_request_error",
      param: problem.param ?? null,
      code: problem.reason ?? (problem.code === "invalid_request" ? null : problem.code),
    },
  };
  return c.json(body, status);
}
