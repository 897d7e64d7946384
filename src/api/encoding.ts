import { createGunzip } from "node:zlib";
import { createMiddleware } from "hono/factory";
import { quoted } from "../core/quoted.ts";
import type { Problem } from "../wire/errors.ts";
import type { AppEnv } from "./auth.ts";
import { problemResponse } from "./errors.ts";
import { nodeBody } from "./node-body.ts";

/**
 * Bodies that come compressed. Whoever reads one below gets what was in it, as a stream that is
 * inflated as it is read, and counts that against the door's own limit. So a bomb takes no memory;
 * the ratio bounds the time it takes.
 */

/** What a body may always come to. Ten times a full one of the smallest prompts took seconds each. */
const ALWAYS_BYTES = 1024 * 1024;
/**
 * Beyond that, how many times its length. Request lines with questions of real people (GSM8K,
 * JCommonsenseQA) shrink to a fourth or a sixth; with one long system prompt in front of each to a
 * 90th, and with the same prompt in each, so that only the custom_id differs, to a 144th at most.
 * Zeros, and prompts with nothing in them, shrink to a thousandth.
 */
const MAX_RATIO = 200;
/**
 * Others get a turn after so many. Inflating waits for nothing but the body itself, and what was
 * compressed well comes in one piece.
 */
const BREATHE_BYTES = 64 * 1024;

/** Inflates the body of a request with `Content-Encoding: gzip`; refuses any other encoding. */
export const decodeBody = createMiddleware<AppEnv>(async (c, next) => {
  const encoding = c.req.header("content-encoding")?.trim().toLowerCase() ?? "";
  const { body, url, method, headers: sent, signal } = c.req.raw;
  const takesBody = method === "POST" || method === "PATCH";
  if (!takesBody || body === null || encoding === "" || encoding === "identity") return next();
  if (encoding !== "gzip" && encoding !== "x-gzip") {
    const response = problemResponse(c, {
      code: "unsupported_media_type",
      message: `Content-Encoding takes gzip, or is left out; it is '${quoted(encoding)}'.`,
      param: "Content-Encoding",
    });
    // Of a 415 that means the encodings taken (RFC 9110, 15.5.16).
    response.headers.set("accept-encoding", "gzip");
    return response;
  }
  const inflating = inflate(body);
  const headers = new Headers(sent);
  headers.delete("content-encoding");
  headers.delete("content-length");
  c.req.raw = new Request(url, { method, headers, signal, body: inflating.stream });
  await next();
  if (c.res.ok) return undefined;
  // The rest is heard out as it comes, and not inflated for nobody.
  await inflating.stop();
  const problem = inflating.problem();
  if (problem === undefined) return undefined;
  // Whoever read the body only knows that it broke off.
  const refusal = problemResponse(c, problem);
  c.res = undefined;
  c.res = refusal;
  return undefined;
});

interface Inflating {
  /** Breaks off where something is wrong. */
  stream: ReadableStream<Uint8Array>;
  /** What that was. */
  problem(): Problem | undefined;
  /** Inflates no more, and lets go of the compressed body. */
  stop(): Promise<void>;
}

function inflate(body: ReadableStream<Uint8Array>): Inflating {
  const { stream: source, letGo } = nodeBody(body);
  // Node's, not the platform's own: that one inflates a chunk whole before any of it is read, and
  // takes no file of several members.
  const gunzip = createGunzip();
  source.on("error", (error) => gunzip.destroy(error));
  // The iterator tells of it, but listens only once somebody reads.
  gunzip.on("error", () => undefined);
  source.pipe(gunzip);
  const inflated = gunzip[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, undefined>;
  let problem: Problem | undefined;
  let bytes = 0;
  let breathedAt = 0;
  const stop = () => {
    gunzip.destroy();
    return letGo();
  };
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await inflated.next();
          if (done) return controller.close();
          bytes += value.byteLength;
          if (bytes - breathedAt >= BREATHE_BYTES) {
            breathedAt = bytes;
            await new Promise((resolve) => setTimeout(resolve, 0));
          }
          if (bytes <= Math.max(ALWAYS_BYTES, MAX_RATIO * gunzip.bytesWritten)) {
            return controller.enqueue(value);
          }
          const message = `The body inflates to more than ${MAX_RATIO} times its length. Send it without Content-Encoding.`;
          problem = { code: "too_large", message };
        } catch (error) {
          const why = error instanceof Error ? `: ${error.message}` : "";
          const message = `The body broke off or is not valid gzip${why}.`;
          problem = { code: "invalid_request", message, reason: "invalid_body" };
        }
        gunzip.destroy();
        return controller.error(new Error(problem.message));
      },
      cancel: stop,
    },
    { highWaterMark: 0 },
  );
  return { stream, problem: () => problem, stop };
}
