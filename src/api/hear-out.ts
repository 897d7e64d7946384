import { createMiddleware } from "hono/factory";
import type { AppEnv } from "./auth.ts";
import { readRest } from "./read-rest.ts";

/**
 * A client that still sends does not hear an answer: a request that is read no further has its
 * connection cut, the client sees a reset in place of a 413, and the official SDKs send it all again.
 * So the rest of a refused request is read before the answer goes, and forgotten as it comes.
 */

/**
 * Reads what a refused request still has. Whoever reads a body stops where it likes and lets go of it,
 * without cancelling it; one that is compressed is read as it comes.
 */
export const hearOut = createMiddleware<AppEnv>(async (c, next) => {
  const { body } = c.req.raw;
  await next();
  if (body !== null && c.res.status >= 400) await readRest(body);
});
