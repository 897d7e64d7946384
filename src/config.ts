import { z } from "zod";
import {
  apiNames,
  baseUrl,
  LIMIT_FIELDS,
  type NumberField,
  optional,
  text,
  upstreamKey,
  wholeNumber,
} from "./config/fields.ts";
import { type PatternPrice, priceList } from "./config/prices.ts";
import { callsAtOnce, readUpstreams, type Upstream, upstreamList } from "./config/upstreams.ts";
import { checkTarget } from "./core/target.ts";
import type { RetryRules } from "./core/task.ts";
import type { Quotas } from "./wire/quota.ts";

/**
 * Every setting of Muster, read from the environment once. The same names are the environment of
 * `npm start` and the `[vars]` and secrets of a deployed Worker. Values arrive as text.
 */

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

const adminKey = text.regex(
  /^[\x21-\x7e]{24,512}$/,
  "a secret of 24 to 512 printable characters, without spaces",
);

const number = (takes: string, min: number, max: number): NumberField => ({ takes, min, max });

/** A quota that every project has unless its administrator sets another; none when it is unset. */
const quota = (what: string) =>
  optional(wholeNumber(number(`a whole number of ${what}, 1 to 1e15`, 1, 1e15)).optional());

/** What each variable takes; the words after "takes" in the error a wrong value gets. */
export const variables = z.object({
  MUSTER_API_KEYS: optional(apiKeys.optional()),
  MUSTER_ADMIN_KEY: optional(adminKey.optional()),
  UPSTREAM_BASE_URL: optional(baseUrl.optional()),
  UPSTREAMS: optional(upstreamList.optional()),
  UPSTREAM_API: optional(apiNames.optional()),
  UPSTREAM_API_KEY: optional(upstreamKey.optional()),
  UPSTREAM_RPM: optional(wholeNumber(LIMIT_FIELDS.rpm).optional()),
  UPSTREAM_TPM: optional(wholeNumber(LIMIT_FIELDS.tpm).optional()),
  UPSTREAM_BURST: optional(wholeNumber(LIMIT_FIELDS.burst).optional()),
  UPSTREAM_MAX_CONCURRENCY: optional(wholeNumber(LIMIT_FIELDS.maxConcurrency).optional()),
  UPSTREAM_TIMEOUT_MS: optional(wholeNumber(LIMIT_FIELDS.timeoutMs).default(120_000)),
  UPSTREAM_STREAM_CHAT: optional(z.enum(["0", "1"], { error: "0 or 1" }).default("0")),
  UPSTREAM_IDLE_TIMEOUT_MS: optional(wholeNumber(LIMIT_FIELDS.idleTimeoutMs).default(60_000)),
  UPSTREAM_ALLOW_PRIVATE: optional(z.enum(["0", "1"], { error: "0 or 1" }).default("0")),
  PRICES: optional(priceList.optional()),
  WEBHOOK_ALLOW_PRIVATE: optional(z.enum(["0", "1"], { error: "0 or 1" }).default("0")),
  CONSUMER_LANES: optional(
    wholeNumber(
      number("calls in flight in one consumer invocation, 1 to 10000", 1, 10_000),
    ).default(6),
  ),
  CONSUMER_STREAM_LANES: optional(
    wholeNumber(
      number("streamed calls in flight in one consumer invocation, 1 to 10000", 1, 10_000),
    ).default(30),
  ),
  CONSUMER_SUBREQUESTS: optional(
    wholeNumber(
      number("subrequests one consumer invocation spends, 10 to 1000000000", 10, 1_000_000_000),
    ).default(9_000),
  ),
  CONSUMER_BACKGROUND: optional(z.enum(["0", "1"], { error: "0 or 1" }).default("0")),
  CONSUMER_SLICE_MS: optional(
    wholeNumber(
      number("milliseconds one consumer invocation takes tasks for, 1000 to 600000", 1000, 600_000),
    ).optional(),
  ),
  CLAIM_TTL_MS: optional(
    wholeNumber(
      number("milliseconds a silent consumer keeps its tasks, 1000 to 600000", 1000, 600_000),
    ).default(30_000),
  ),
  RETRY_MAX_ATTEMPTS: optional(
    wholeNumber(number("attempts a failing task gets, 1 to 100", 1, 100)).default(8),
  ),
  RETRY_BASE_MS: optional(
    wholeNumber(
      number("milliseconds, the first retry's longest wait, 1 to 60000", 1, 60_000),
    ).default(500),
  ),
  RETRY_MAX_MS: optional(
    wholeNumber(
      number("milliseconds, any retry's longest wait, 1 to 3600000", 1, 3_600_000),
    ).default(60_000),
  ),
  RETENTION_HOURS: optional(
    wholeNumber(
      number("hours that ended batches and uploaded files are kept, 1 to 87600", 1, 87_600),
    ).default(720),
  ),
  PROJECT_MAX_OPEN_BATCHES: quota("batches of one project that have not ended"),
  PROJECT_MAX_WAITING_TASKS: quota("tasks of one project that wait for a call"),
  PROJECT_MAX_STORED_BYTES: quota("bytes of one project's files and results"),
  PROJECT_RPM: quota("requests a minute of one project"),
});

/** One API key and the project it opens. */
export interface ApiKey {
  project: string;
  key: string;
}

/** Muster's settings, checked. */
export interface Config {
  apiKeys: ApiKey[];
  /** Opens the administration of projects and their keys; nobody does without it. */
  adminKey: string | undefined;
  /** In the order they are tried. None on a deployed Worker until UPSTREAMS or UPSTREAM_BASE_URL is set. */
  upstreams: Upstream[];
  /** They may be on private and loopback addresses, and without TLS. */
  upstreamAllowPrivate: boolean;
  /** What models cost, for batches with a max_cost. */
  prices: PatternPrice[];
  webhookAllowPrivate: boolean;
  /** Calls one consumer invocation keeps in flight, each waiting for its headers to the end. */
  lanes: number;
  /** The same for streamed calls, whose headers come at once; at least `lanes`. */
  streamLanes: number;
  /** Calls and exchanges one consumer invocation makes: of the 10,000 the platform gives it. */
  subrequests: number;
  /** One consumer invocation takes tasks for so long; as the platform allows, when it is absent. */
  sliceMs: number | undefined;
  /** A pointer is acked at once, and its invocation goes on behind it. */
  background: boolean;
  /** A consumer that is silent this long has lost its tasks. */
  claimTtlMs: number;
  /** Ended batches, and uploaded files without an expiry of their own, are kept this long. */
  retentionMs: number;
  retry: RetryRules;
  /** Of each project that has none of its own. */
  quotas: Quotas;
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
      parsed.error.issues.map(({ path, message }) => `${nameOf(path)} takes ${message}.`),
    );
  }
  const v = parsed.data;
  if (v.MUSTER_API_KEYS?.some(({ key }) => key === v.MUSTER_ADMIN_KEY)) {
    throw new ConfigError(["MUSTER_ADMIN_KEY takes a secret that is none of MUSTER_API_KEYS."]);
  }
  const upstreams = upstreamsOf(v, vars);
  const upstreamAllowPrivate = v.UPSTREAM_ALLOW_PRIVATE === "1";
  const closed = upstreams.flatMap((upstream) => targetProblem(upstream, upstreamAllowPrivate));
  if (closed.length > 0) throw new ConfigError(closed);
  return {
    apiKeys: v.MUSTER_API_KEYS ?? [],
    adminKey: v.MUSTER_ADMIN_KEY,
    upstreams,
    upstreamAllowPrivate,
    prices: v.PRICES ?? [],
    webhookAllowPrivate: v.WEBHOOK_ALLOW_PRIVATE === "1",
    lanes: v.CONSUMER_LANES,
    streamLanes: Math.max(v.CONSUMER_LANES, v.CONSUMER_STREAM_LANES),
    subrequests: v.CONSUMER_SUBREQUESTS,
    sliceMs: v.CONSUMER_SLICE_MS,
    background: v.CONSUMER_BACKGROUND === "1",
    claimTtlMs: v.CLAIM_TTL_MS,
    retentionMs: v.RETENTION_HOURS * 3_600_000,
    quotas: {
      openBatches: v.PROJECT_MAX_OPEN_BATCHES ?? null,
      waitingTasks: v.PROJECT_MAX_WAITING_TASKS ?? null,
      storedBytes: v.PROJECT_MAX_STORED_BYTES ?? null,
      requestsPerMinute: v.PROJECT_RPM ?? null,
    },
    retry: { maxAttempts: v.RETRY_MAX_ATTEMPTS, baseMs: v.RETRY_BASE_MS, maxMs: v.RETRY_MAX_MS },
  };
}

/** Why an upstream's key must not go where its URL points. */
function targetProblem({ name, baseUrl }: Upstream, allowPrivate: boolean): string[] {
  const what = `The base URL of the upstream ${name}`;
  const target = checkTarget(baseUrl, { allowPrivate, what });
  if (target.ok) return [];
  const how =
    " On a machine of your own UPSTREAM_ALLOW_PRIVATE=1 allows http, private and loopback addresses.";
  return [allowPrivate ? target.reason : target.reason + how];
}

/** A field as people write it: `UPSTREAMS[0].base_url`. */
function nameOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (name, step) =>
      typeof step === "number"
        ? `${name}[${step}]`
        : name
          ? `${name}.${String(step)}`
          : `${String(step)}`,
    "",
  );
}

type Variables = z.infer<typeof variables>;

/** The variables that describe the one upstream there is without UPSTREAMS. */
const ALONE = [
  "UPSTREAM_BASE_URL",
  "UPSTREAM_API",
  "UPSTREAM_RPM",
  "UPSTREAM_TPM",
  "UPSTREAM_BURST",
] as const;

/** @throws {ConfigError} when keys are missing, or when upstreams are described in both ways. */
function upstreamsOf(v: Variables, vars: object): Upstream[] {
  const defaults = {
    ...callsAtOnce(v.UPSTREAM_MAX_CONCURRENCY),
    timeoutMs: v.UPSTREAM_TIMEOUT_MS,
    idleTimeoutMs: v.UPSTREAM_IDLE_TIMEOUT_MS,
  };
  if (v.UPSTREAMS !== undefined) {
    const { upstreams, problems } = readUpstreams(v.UPSTREAMS, { ...vars }, defaults);
    const streams = v.UPSTREAM_STREAM_CHAT === "1" ? ["UPSTREAM_STREAM_CHAT"] : [];
    const both = [...ALONE.filter((name) => v[name] !== undefined), ...streams];
    const lines = [
      ...both.map((name) => `${name} takes no value beside UPSTREAMS: say it there.`),
      ...problems.map(({ at, takes }) => `${at} takes ${takes}.`),
    ];
    if (lines.length > 0) throw new ConfigError(lines);
    return upstreams;
  }
  if (v.UPSTREAM_BASE_URL === undefined) return [];
  const limits = {
    rpm: v.UPSTREAM_RPM,
    tpm: v.UPSTREAM_TPM,
    burst: v.UPSTREAM_BURST,
    ...callsAtOnce(v.UPSTREAM_MAX_CONCURRENCY),
  };
  return [
    {
      name: "default",
      baseUrl: v.UPSTREAM_BASE_URL,
      apis: v.UPSTREAM_API ?? ["openai"],
      apiKey: v.UPSTREAM_API_KEY,
      models: ["*"],
      quotas: [{ name: "default", models: ["*"], limits }],
      timeoutMs: defaults.timeoutMs,
      streamChat: v.UPSTREAM_STREAM_CHAT === "1",
      idleTimeoutMs: defaults.idleTimeoutMs,
    },
  ];
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
