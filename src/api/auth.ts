import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { type ApiKey, readConfig } from "../config.ts";
import { projectInKey } from "../core/api-key.ts";
import type { Rate } from "../core/request-rate.ts";
import type { Admission } from "../gate/admission.ts";
import { log } from "../log.ts";
import { gateStub } from "../stubs.ts";
import type { Quotas } from "../wire/quota.ts";
import { atMessages, atOrganization, problemResponse } from "./errors.ts";
import { Failures } from "./failures.ts";
import type { Once } from "./once.ts";

/** What every handler knows of its request. */
export interface Vars {
  requestId: string;
  /** The project whose key the request carries. */
  project: string;
  /** What that project may use. */
  quotas: Quotas;
  /** Whether the key is still good: whoever answers for long asks now and then. Never throws. */
  isStillGood: () => Promise<boolean>;
  /** Of a POST: what makes it safe to repeat. */
  once: Once;
}
export type AppEnv = { Bindings: Env; Variables: Vars };

/** Of this isolate: an address that reaches several is counted by each of them. */
const failures = new Failures();
const digests = new WeakMap<readonly ApiKey[], Promise<ArrayBuffer[]>>();

/**
 * Of the key that a Muster on one machine has when it is given none. It stands in the README, so a web
 * page may know it, and may have its own name point at that machine.
 */
const LOCAL_KEY_SHA256 = "8a4ab409543b38164e7889223df5b243e1eda15cf10ea49c4ff02f6afb836f85";

/** Whether a key that everybody knows came with a name that is not this machine's own. */
async function isForeign(key: string, url: string): Promise<boolean> {
  const { hostname } = new URL(url);
  if (/^(127\.0\.0\.1|\[::1\]|(.+\.)?localhost)$/.test(hostname)) return false;
  return Buffer.from(await sha256(key)).toString("hex") === LOCAL_KEY_SHA256;
}

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

/** What a key opens: the project of a setting's key at once, else as its project's Gate says. */
async function admissionOf(env: Env, key: string): Promise<Admitted> {
  const known = await projectOf(key, readConfig(env).apiKeys);
  const project = known ?? projectInKey(key);
  if (project === undefined) return NOBODY;
  // Of the key, its hash leaves this isolate.
  const given = known === undefined ? await sha256(key) : null;
  const said = await gateStub(env, project).admit(given);
  const isStillGood = async () => {
    // A Gate that is out of reach says nothing for the key; the client asks anew.
    return await gateStub(env, project)
      .holds(given)
      .catch(() => false);
  };
  return { project, said, isStillGood };
}

interface Admitted {
  project: string;
  said: Admission;
  isStillGood: () => Promise<boolean>;
}

const NOBODY: Admitted = {
  project: "",
  said: { kind: "unknown" },
  isStillGood: () => Promise.resolve(false),
};

/** Lets a request with a known key through, with its project; answers 401 to any other. */
export const authenticate = createMiddleware<AppEnv>(async (c, next) => {
  if (atOrganization(c.req.path)) return next();
  const messages = atMessages(c.req.path);
  const keys = [
    bearerOf(c),
    messages ? c.req.header("x-api-key")?.trim() || undefined : undefined,
  ].filter((key) => key !== undefined);
  let admitted = NOBODY;
  for (const key of keys) {
    if (await isForeign(key, c.req.url)) {
      const message =
        "The key of a Muster that is given none opens 127.0.0.1 and localhost alone. Set MUSTER_API_KEYS to one of your own.";
      return problemResponse(c, { code: "invalid_api_key", message });
    }
    if (admitted.said.kind === "unknown") admitted = await admissionOf(c.env, key);
  }
  const { project, said, isStillGood } = admitted;
  switch (said.kind) {
    case "unknown":
      return keys.length === 0 ? withoutKey(c, messages) : wrongKey(c);
    case "expired": {
      const when = new Date(said.expiredAtMs).toISOString();
      const message = `This API key expired at ${when}. Ask for a new one.`;
      return problemResponse(c, { code: "invalid_api_key", message, reason: "expired_api_key" });
    }
    case "archived": {
      const message = "The project of this API key is archived, and takes no requests.";
      return problemResponse(c, { code: "invalid_api_key", message, reason: "project_archived" });
    }
    case "too_many": {
      const { perMinute } = said.rate;
      const response = problemResponse(c, {
        code: "rate_limited",
        message: `This project makes more than its ${perMinute} requests a minute. Wait as long as retry-after says.`,
        reason: "requests_per_minute_exceeded",
      });
      response.headers.set("retry-after", `${Math.ceil(said.waitMs / 1000)}`);
      tellRate(response.headers, said.rate);
      return response;
    }
    case "admitted":
  }
  const { scopes, quotas, rate } = said;
  const reads = c.req.method === "GET" || c.req.method === "HEAD";
  if (!reads && !scopes.includes("write")) {
    const message = `${c.req.method} takes a key with the scope 'write'; this one has 'read'.`;
    return problemResponse(c, { code: "insufficient_permissions", message });
  }
  c.set("project", project);
  c.set("quotas", quotas);
  c.set("isStillGood", isStillGood);
  await next();
  if (rate !== null) tellRate(c.res.headers, rate);
  return undefined;
});

/** Lets a request with the admin key through to the organization's routes. */
export const authenticateAdmin = createMiddleware<AppEnv>(async (c, next) => {
  const { adminKey } = readConfig(c.env);
  const key = bearerOf(c);
  if (adminKey === undefined || key === undefined) {
    const message =
      adminKey === undefined
        ? "This Muster has no admin key. Set the secret MUSTER_ADMIN_KEY."
        : "No admin key. Send it as 'Authorization: Bearer <key>'.";
    return problemResponse(c, { code: "invalid_api_key", message });
  }
  const [given, right] = await Promise.all([sha256(key), sha256(adminKey)]);
  if (!crypto.subtle.timingSafeEqual(given, right)) return wrongKey(c);
  await next();
  const { method, path } = c.req;
  if (method !== "GET" && c.res.ok) {
    log({ event: "organization_changed", request: c.get("requestId"), method, path });
  }
  return undefined;
});

function bearerOf(c: Context<AppEnv>): string | undefined {
  return /^Bearer +(\S+)\s*$/i.exec(c.req.header("authorization") ?? "")?.[1];
}

function withoutKey(c: Context<AppEnv>, messages: boolean): Response {
  const { apiKeys, adminKey } = readConfig(c.env);
  const none = apiKeys.length === 0 && adminKey === undefined;
  return problemResponse(c, {
    code: "invalid_api_key",
    message: none
      ? "This Muster has no API keys yet. Set the secret MUSTER_API_KEYS to project:key pairs."
      : `No API key. Send it as ${messages ? "'x-api-key: <key>' or " : ""}'Authorization: Bearer <key>'.`,
  });
}

/** The answer to a key that was good when its request came, and is not any more. */
export function noLongerGood(c: Context<AppEnv>): Response {
  const message = "This API key was revoked or has expired since the request came.";
  return problemResponse(c, { code: "invalid_api_key", message });
}

/** The answer to a key that is not known: 401, and 429 to an address that has sent many. */
function wrongKey(c: Context<AppEnv>): Response {
  const waitMs = failures.note(c.req.header("cf-connecting-ip"), Date.now(), (network) => {
    log({ event: "address_slowed", request: c.get("requestId"), network });
  });
  if (waitMs > 0) {
    const message =
      "Too many wrong API keys from this address. A right one is answered at any time.";
    const response = problemResponse(c, {
      code: "rate_limited",
      message,
      reason: "too_many_wrong_keys",
    });
    response.headers.set("retry-after", `${Math.ceil(waitMs / 1000)}`);
    return response;
  }
  const message = atOrganization(c.req.path)
    ? "This key does not open the organization: its admin key does."
    : "This API key is not known here.";
  return problemResponse(c, { code: "invalid_api_key", message });
}

/**
 * `RateLimit-Policy` and `RateLimit` as draft-ietf-httpapi-ratelimit-headers-10 has them: a quota `q`
 * in a window of `w` seconds; `r` remain, and all of them in `t` seconds.
 */
function tellRate(headers: Headers, { perMinute, remaining, fullInMs }: Rate): void {
  headers.set("ratelimit-policy", `"requests";q=${perMinute};w=60`);
  headers.set("ratelimit", `"requests";r=${remaining};t=${Math.ceil(fullInMs / 1000)}`);
}
