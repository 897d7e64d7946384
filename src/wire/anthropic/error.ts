import { z } from "zod";

/** Errors as Anthropic has them: answers of the door, and what a failed request ended with. */

export const errorType = z.enum([
  "invalid_request_error",
  "authentication_error",
  "billing_error",
  "permission_error",
  "not_found_error",
  "conflict_error",
  "request_too_large",
  "rate_limit_error",
  "api_error",
  "timeout_error",
  "overloaded_error",
]);
export type ErrorType = z.infer<typeof errorType>;

export const anthropicError = z
  .object({
    type: z.literal("error"),
    error: z.object({ type: errorType, message: z.string() }),
    request_id: z.string().nullable(),
  })
  .meta({ id: "AnthropicError", description: "What was wrong, where, and what is taken instead." });
export type AnthropicError = z.infer<typeof anthropicError>;

const TYPES: Readonly<Record<number, ErrorType>> = {
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  408: "timeout_error",
  409: "conflict_error",
  413: "request_too_large",
  429: "rate_limit_error",
  504: "timeout_error",
  529: "overloaded_error",
};

/** The type of an error by its HTTP status. */
export function errorTypeOf(status: number): ErrorType {
  return TYPES[status] ?? (status >= 500 ? "api_error" : "invalid_request_error");
}
