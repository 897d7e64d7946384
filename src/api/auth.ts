import { createMiddleware } from "hono/factory";
import { type ApiKey, readConfig } from "../config.ts";
import { atMessages, problemResponse } from "./errors.ts";
import type { Once } from "./once.ts";

/** What every handler knows of its request. */
export interface Vars {
  requestId: string;
  /** The project whose key the request carries. */
  project: string;
  /** Of a POST: what makes it safe to repeat. */
  once: Once;
}
export type AppEnv = { Bindings: Env; Variables: Vars };

const digests = new WeakMap<readonly ApiKey[], Promise<ArrayBuffer[]>>();

function sha256(text: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
}

/**
 * The project a key opens. Digests are compared, all of them and in constant time, so the time
 * taken says nothing about how much of a key was right.
 */
async function projectOf(key: string, keys: readonly ApiKey[]): Promise<string | undefined> {
  let known = digests.get(keys);
  if (known === undefined) {
    known = Promise.all(keys.map(({ key }) => sha256(key)));
    digests.set(keys, known);
  }
  const given = await sha256(key);
  let project: string | undefined;
  for (const [index, digest] of (await known).entries()) {
    if (crypto.subtle.timingSafeEqual(given, digest)) project = keys[index]?.project;
  }
  return project;
}

/** Lets a request with a known key through, with its project; answers 401 to any other. */
export const authenticate = createMiddleware<AppEnv>(async (c, next) => {
  const { apiKeys } = readConfig(c.env);
  const messages = atMessages(c.req.path);
  const keys = [
    /^Bearer +(\S+)\s*$/i.exec(c.req.header("authorization") ?? "")?.[1],
    messages ? c.req.header("x-api-key")?.trim() || undefined : undefined,
  ].filter((key) => key !== undefined);
  let project: string | undefined;
  for (const key of keys) project ??= await projectOf(key, apiKeys);
  if (project === undefined) {
    return problemResponse(c, {
      code: "invalid_api_key",
      message:
        apiKeys.length === 0
          ? "This Muster has no API keys yet. Set the secret MUSTER_API_KEYS to project:key pairs."
          : keys.length === 0
            ? `No API key. Send it as ${messages ? "'x-api-key: <key>' or " : ""}'Authorization: Bearer <key>'.`
            : "This API key is not known here.",
    });
  }
  c.set("project", project);
  return next();
});
