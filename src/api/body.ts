import { readCapped } from "../core/read-capped.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";

/**
 * A request's body as text.
 *
 * @param advice what to do when it has more than `maxBytes` bytes.
 */
export async function readText(
  request: Request,
  maxBytes: number,
  advice = "",
): Promise<Result<string>> {
  try {
    const text = await readCapped(request, maxBytes, { fatal: true });
    if (text !== undefined) return ok(text);
  } catch (error) {
    const message = `The body broke off or is not valid UTF-8: ${String(error)}.`;
    return refuse("invalid_request", message, undefined, "invalid_body");
  }
  return refuse("too_large", `The body is longer than ${maxBytes} bytes. ${advice}`.trim());
}
