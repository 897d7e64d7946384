import type { Context } from "hono";
import { etagOf, matches } from "../core/etag.ts";
import type { AppEnv } from "./auth.ts";

/**
 * An answer with its ETag, which changes exactly when the answer does; 304 to a client that has it.
 * Typed for `app.openapi`, whose handlers declare 200.
 */
export function tagged(c: Context<AppEnv>, text: string, headers: Record<string, string>): never {
  const etag = etagOf(text);
  const all = { ...headers, etag };
  return unchanged(c, etag, all) ?? (c.body(text, 200, all) as never);
}

/** {@link tagged}, for JSON. */
export function taggedJson(
  c: Context<AppEnv>,
  body: object,
  headers: Record<string, string> = {},
): never {
  return tagged(c, JSON.stringify(body), { ...headers, "content-type": "application/json" });
}

/** The 304 to a client that has what the tag names, or undefined. */
export function unchanged(
  c: Context<AppEnv>,
  etag: string,
  headers: Record<string, string>,
): never | undefined {
  if (!matches(c.req.header("if-none-match"), etag)) return undefined;
  const { "content-type": _, ...rest } = headers;
  return c.body(null, 304, rest) as never;
}
