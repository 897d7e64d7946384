import type { z } from "zod";
import { whyNotJson } from "../core/json-problem.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import { describeIssue } from "../wire/issue.ts";
import { parseInput } from "../wire/parse.ts";
import { readText } from "./body.ts";

/** Bytes of a body that carries settings, not tasks. */
const MAX_BYTES = 64 * 1024;

/**
 * A request's JSON body by its schema, whatever its content type says. No body and `null` are an
 * empty object: that is what the official SDK sends where it has nothing to say.
 */
export async function readJson<T extends z.ZodType>(
  request: Request,
  schema: T,
): Promise<Result<z.infer<T>>> {
  const read = await readText(request, MAX_BYTES);
  if (!read.ok) return read;
  const text = read.value;
  let json: unknown;
  try {
    json = text.trim() === "" ? null : JSON.parse(text);
  } catch (error) {
    const why = whyNotJson(error, text);
    return refuse("invalid_request", `The body is not JSON: ${why}.`, undefined, "invalid_json");
  }
  const parsed = parseInput(schema, json ?? {});
  if (parsed.success) return ok(parsed.data);
  const { param, message, reason } = describeIssue(parsed.error, json ?? {});
  return refuse("invalid_request", message, param || undefined, reason);
}
