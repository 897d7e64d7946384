import { z } from "zod";
import { quoted } from "../core/quoted.ts";

/** OpenAI's error shape, of every error that Muster answers with. */
export const errorBody = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
  })
  .meta({ id: "Error", description: "What was wrong, where, and what is taken instead." });
export type ErrorBody = z.infer<typeof errorBody>;

/** What an RPC or a check answers instead of a value; the HTTP layer gives it a status. */
export interface Problem {
  code:
    | "not_found"
    | "invalid_request"
    | "invalid_api_key"
    | "insufficient_permissions"
    | "quota_exceeded"
    | "not_configured"
    | "too_large"
    | "unsupported_media_type"
    | "method_not_allowed"
    | "rate_limited"
    | "upstream_unreachable"
    | "upstream_timeout"
    | "conflict"
    | "idempotency_key_reused"
    | "idempotency_key_in_use";
  message: string;
  param?: string | undefined;
  /** A finer word for `error.code`, such as `duplicate_custom_id`. */
  reason?: string | undefined;
}

/** A tagged result: what RPCs return. They throw only for bugs. */
export type Result<T> = { ok: true; value: T } | { ok: false; problem: Problem };

/** A good result. */
export function ok<T>(value: T): Result<T> {
  return { ok: true, value };
}

/** A refused one. */
export function refuse(
  code: Problem["code"],
  message: string,
  param?: string,
  reason?: string,
): { ok: false; problem: Problem } {
  return { ok: false, problem: { code, message, param, reason } };
}

/** The answer to an id that names nothing in this project, be it another project's or nobody's. */
export function noSuch(
  kind: "batch" | "message batch" | "file" | "upload" | "webhook endpoint" | "project" | "API key",
  id: string,
): { ok: false; problem: Problem } {
  return refuse("not_found", `No ${kind} with id '${quoted(id)}'.`, "id");
}
