import { z } from "zod";
import type { UpstreamLimits } from "./core/admission.ts";
import type { RetryRules } from "./core/task.ts";

/**
 * Every setting of Muster, read from the environment once. The same names are the environment of
 * `npm start` and the `[vars]` and secrets of a deployed Worker. Values arrive as text.
 */

const text = z.string().trim();
/** An unset variable and an empty one mean the same: the default. */
const optional = <T extends z.ZodType>(schema: T) =>
  z.preprocess((value) => {
    // wrangler.toml may hold a number or a boolean where text is meant.
    const said = typeof value === "number" || typeof value === "boolean" ? `${value}` : value;
    return typeof said === "string" ? said.trim() || undefined : said;
  }, schema);

const wholeNumber = (takes: string, min: number, max: number) =>
  text
    .regex(/^[0-9]+$/, takes)
    .transform(Number)
    .refine((value) => value >= min && value <= max, takes);

const limit = (takes: string) => optional(wholeNumber(takes, 1, 1e12).optional());

const API_KEYS_TAKES =
  "project:key pairs separated by commas; a project is 1 to 64 of a-z 0-9 - _, a key at least 8 printable characters without a comma";

const apiKeys = text.transform((value, context) => {
  const keys: ApiKey[] = [];
  for (const pair of value.split(",")) {
    const match = /^([a-z0-9][a-z0-9_-]{0,63}):([\x21-\x2b\x2d-\x7e]{8,512})$/.exec(pair.trim());
    if (match?.[1] === undefined || match[2] === undefined) {
      context.addIssue({ code: "custom", message: API_KEYS_TAKES });
      return z.NEVER;
    }
    keys.push({ project: match[1], key: match[2] });
  }
  if (new Set(keys.map(({ key }) => key)).size < keys.length) {
    context.addIssue({ code: "custom", message: "keys that are all different" });
    return z.NEVER;
  }
  return keys;
});

const BASE_URL_TAKES =
  "an http(s) URL without query or fragment, such as https://api.openai.com/v1";

const baseUrl = text.transform((value, context) => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const usable =
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    url.username === "" &&
    url.password === "" &&
    // Not url.search and url.hash: they are "" for a bare "?" or "#", which stay in the href.
    !/[?#]/.test(value);
  if (!usable) {
    context.addIssue({ code: "custom", message: BASE_URL_TAKES });
    return z.NEVER;
  }
  return url.href.replace(/\/+$/, "");
});

/** What each variable takes; the words after "takes" in the error a wrong value gets. */
export const variables = z.object({
  MUSTER_API_KEYS: optional(apiKeys.optional()),
  UPSTREAM_BASE_URL: optional(baseUrl.optional()),
  UPSTREAM_API_KEY: optional(
    text.regex(/^[\x21-\x7e]+$/, "the upstream's key, printable and without spaces").optional(),
  ),
  UPSTREAM_RPM: limit("a whole number of requests a minute, at least 1"),
  UPSTREAM_TPM: limit("a whole number of tokens a minute, at least 1"),
  UPSTREAM_BURST: limit("a whole number of requests at once, at least 1"),
  UPSTREAM_MAX_CONCURRENCY: optional(
    wholeNumber("a whole number of calls in flight, 1 to 10000", 1, 10_000).default(50),
  ),
  UPSTREAM_TIMEOUT_MS: optional(
    wholeNumber("milliseconds for one call, 100 to 600000", 100, 600_000).default(120_000),
  ),
  WEBHOOK_ALLOW_PRIVATE: optional(z.enum(["0", "1"], { error: "0 or 1" }).default("0")),
  CONSUMER_LANES: optional(
    wholeNumber("calls in flight in one consumer invocation, 1 to 10000", 1, 10_000).default(6),
  ),
  CONSUMER_SUBREQUESTS: optional(
    wholeNumber(
      "subrequests one consumer invocation spends, 10 to 1000000000",
      10,
      1_000_000_000,
    ).default(9_000),
  ),
  CLAIM_TTL_MS: optional(
    wholeNumber(
      "milliseconds a silent consumer keeps its tasks, 1000 to 600000",
      1000,
      600_000,
    ).default(30_000),
  ),
  RETRY_MAX_ATTEMPTS: optional(
    wholeNumber("attempts a failing task gets, 1 to 100", 1, 100).default(8),
  ),
  RETRY_BASE_MS: optional(
    wholeNumber("milliseconds, the first retry's longest wait, 1 to 60000", 1, 60_000).default(500),
  ),
  RETRY_MAX_MS: optional(
    wholeNumber("milliseconds, any retry's longest wait, 1 to 3600000", 1, 3_600_000).default(
      60_000,
    ),
  ),
  RETENTION_HOURS: optional(
    wholeNumber(
      "hours that ended batches and uploaded files are kept, 1 to 87600",
      1,
      87_600,
    ).default(720),
  ),
});

/** One API key and the project it opens. */
export interface ApiKey {
  project: string;
  key: string;
}

/** An OpenAI-compatible API that tasks are sent to. */
export interface Upstream {
  name: string;
  /** Ends in `/v1` as a rule; never in a slash. */
  baseUrl: string;
  apiKey?: string | undefined;
  limits: UpstreamLimits;
  /** One call, body included. */
  timeoutMs: number;
}

/** Muster's settings, checked. */
export interface Config {
  apiKeys: ApiKey[];
  /** Absent on a deployed Worker until UPSTREAM_BASE_URL is set. */
  upstream: Upstream | undefined;
  webhookAllowPrivate: boolean;
  /** Calls one consumer invocation keeps in flight. */
  lanes: number;
  /** Calls and exchanges one consumer invocation makes: of the 10,000 the platform gives it. */
  subrequests: number;
  /** A consumer that is silent this long has lost its tasks. */
  claimTtlMs: number;
  /** Ended batches, and uploaded files without an expiry of their own, are kept this long. */
  retentionMs: number;
  retry: RetryRules;
}

/** Why the variables are no configuration: one line each, naming the variable and what it takes. */
export class ConfigError extends Error {
  readonly problems: string[];

  constructor(problems: string[]) {
    super(problems.join("\n"));
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/**
 * Checks variables into a {@link Config}. Values are never repeated in an error: they may be secrets.
 *
 * @throws {ConfigError} naming every wrong variable and what it takes.
 */
export function parseConfig(vars: object): Config {
  const parsed = variables.safeParse(vars);
  if (!parsed.success) {
    throw new ConfigError(
      parsed.error.issues.map((issue) => `${String(issue.path[0])} takes ${issue.message}.`),
    );
  }
  const v = parsed.data;
  return {
    apiKeys: v.MUSTER_API_KEYS ?? [],
    upstream:
      v.UPSTREAM_BASE_URL === undefined
        ? undefined
        : {
            name: "default",
            baseUrl: v.UPSTREAM_BASE_URL,
            apiKey: v.UPSTREAM_API_KEY,
            limits: {
              rpm: v.UPSTREAM_RPM,
              tpm: v.UPSTREAM_TPM,
              burst: v.UPSTREAM_BURST,
              maxConcurrency: v.UPSTREAM_MAX_CONCURRENCY,
            },
            timeoutMs: v.UPSTREAM_TIMEOUT_MS,
          },
    webhookAllowPrivate: v.WEBHOOK_ALLOW_PRIVATE === "1",
    lanes: v.CONSUMER_LANES,
    subrequests: v.CONSUMER_SUBREQUESTS,
    claimTtlMs: v.CLAIM_TTL_MS,
    retentionMs: v.RETENTION_HOURS * 3_600_000,
    retry: { maxAttempts: v.RETRY_MAX_ATTEMPTS, baseMs: v.RETRY_BASE_MS, maxMs: v.RETRY_MAX_MS },
  };
}

const known = new WeakMap<object, Config>();

/**
 * The configuration of a Worker's `env`, checked once an isolate.
 *
 * @throws {ConfigError} as {@link parseConfig}.
 */
export function readConfig(env: object): Config {
  const before = known.get(env);
  if (before !== undefined) return before;
  const config = parseConfig(env);
  known.set(env, config);
  return config;
}
