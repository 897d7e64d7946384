import type { faultCodes } from "./settings.ts";

/** An answer in OpenAI's error shape; {@link anthropicBody} makes Anthropic's of it. */
export interface ApiError {
  status: number;
  body: {
    error: { message: string; type: string; param: string | null; code: string | null };
  };
}

export function apiError(
  status: number,
  type: string,
  message: string,
  code: string | null = null,
  param: string | null = null,
): ApiError {
  return { status, body: { error: { message, type, param, code } } };
}

/** A 400 about the request itself. */
export function badRequest(message: string, param: string | null, code: string): ApiError {
  return apiError(400, "invalid_request_error", message, code, param);
}

const faultTypes: Record<(typeof faultCodes)[number], string> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  408: "timeout_error",
  409: "conflict_error",
  413: "request_too_large",
  422: "unprocessable_entity_error",
  429: "rate_limit_exceeded",
  500: "server_error",
  502: "bad_gateway",
  503: "service_unavailable",
  504: "gateway_timeout",
  529: "overloaded_error",
};

/** The error of a `status` fault. */
export function faultError(code: (typeof faultCodes)[number]): ApiError {
  const type = faultTypes[code];
  return apiError(code, type, `The simulator answered ${code}, as its faults say.`, type);
}

/** The 429 that is about money, which no waiting cures. */
export const insufficientQuota = apiError(
  429,
  "insufficient_quota",
  "You exceeded your current quota, please check your plan and billing details.",
  "insufficient_quota",
);

const anthropicTypes: Record<number, string> = {
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  409: "conflict_error",
  413: "request_too_large",
  429: "rate_limit_error",
  504: "timeout_error",
  529: "overloaded_error",
};

/** The type of an error by its status, in Anthropic's words. */
export function anthropicType(status: number): string {
  return anthropicTypes[status] ?? (status >= 500 ? "api_error" : "invalid_request_error");
}

/** The same error in Anthropic's shape. */
export function anthropicBody({ status, body }: ApiError, requestId: string): object {
  const type = anthropicType(status);
  // Their 429 about money differs from any other by this code alone.
  const isAboutMoney = body.error.code === insufficientQuota.body.error.code;
  const details = isAboutMoney ? { details: { error_code: "enforced_spend_limit_reached" } } : {};
  return {
    type: "error",
    error: { type, message: body.error.message, ...details },
    request_id: requestId,
  };
}
