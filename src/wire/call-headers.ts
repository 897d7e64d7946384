import { z } from "zod";
import { ok, type Result, refuse } from "./errors.ts";

/**
 * Headers that say how a request body is meant. They come with a batch and go with each of its
 * calls, because the upstream reads the bodies and not Muster.
 */

export const callHeaders = z.record(z.string(), z.string());
export type CallHeaders = z.infer<typeof callHeaders>;

/** Of `/v1/messages`: what the official SDK sends, its key and its own statistics left out. */
const PASSED = [
  "anthropic-version",
  "anthropic-beta",
  "anthropic-user-profile-id",
  "anthropic-workspace-id",
] as const;
const MAX_LENGTH = 2_000;

/** The headers of a request that its batch's calls carry, or null when there are none. */
export function callHeadersOf(
  headers: { get(name: string): string | null },
  endpoint: string,
): Result<CallHeaders | null> {
  if (endpoint !== "/v1/messages") return ok(null);
  const found: CallHeaders = {};
  for (const name of PASSED) {
    const value = headers.get(name);
    if (value === null || value === "") continue;
    if (value.length > MAX_LENGTH || !/^[\x20-\x7e]+$/.test(value)) {
      const takes = `${name}: takes at most ${MAX_LENGTH} printable ASCII characters.`;
      return refuse("invalid_request", takes, name);
    }
    found[name] = value;
  }
  const version = found["anthropic-version"];
  if (version !== undefined && !/^\d{4}-\d{2}-\d{2}$/.test(version)) {
    const takes = "anthropic-version: takes a date, such as 2023-06-01.";
    return refuse("invalid_request", takes, "anthropic-version");
  }
  return ok(Object.keys(found).length === 0 ? null : found);
}

/** What was stored of them. */
export function readCallHeaders(json: string): CallHeaders {
  return callHeaders.parse(JSON.parse(json));
}
