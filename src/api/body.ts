import { readCapped } from "../core/read-capped.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";

/** Reads bodies up to a limit. What is behind it is left to `hear-out.ts`. */

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
    const text = await readCapped(request, maxBytes, { fatal: true, leaveRest: true });
    if (text !== undefined) return ok(text);
  } catch {
    return brokeOff(" or is not valid UTF-8");
  }
  return tooLarge(maxBytes, advice);
}

/** A request's body as it came. */
export async function readBytes(request: Request, maxBytes: number): Promise<Result<Uint8Array>> {
  if (request.body === null) return ok(new Uint8Array());
  const reader = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.byteLength;
      if (length > maxBytes) return tooLarge(maxBytes);
      chunks.push(value);
    }
  } catch (error) {
    return brokeOff(`: ${String(error)}`);
  } finally {
    reader.releaseLock();
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return ok(all);
}

function brokeOff(how: string): Result<never> {
  const message = `The body broke off${how}.`;
  return refuse("invalid_request", message, undefined, "invalid_body");
}

function tooLarge(maxBytes: number, advice = ""): Result<never> {
  return refuse("too_large", `The body is longer than ${maxBytes} bytes. ${advice}`.trim());
}
