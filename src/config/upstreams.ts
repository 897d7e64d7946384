import { z } from "zod";
import type { UpstreamLimits } from "../core/limits.ts";
import {
  APIS,
  type Api,
  baseUrl,
  jsonNumber,
  jsonText,
  LIMIT_FIELDS,
  upstreamKey,
} from "./fields.ts";

/** One quota of an upstream: some of its models and the limits they share. One Limiter object each. */
export interface Quota {
  /** Names the Limiter. It depends on the models and not on the place, so entries may be moved. */
  name: string;
  /** Patterns of the models that count against it. */
  models: string[];
  limits: UpstreamLimits;
}

/** An API that tasks are sent to. */
export interface Upstream {
  name: string;
  /** Ends in `/v1` as a rule; never in a slash. */
  baseUrl: string;
  /** Those that it speaks; many servers speak both. */
  apis: readonly Api[];
  /** Goes to the origin of `baseUrl` and nowhere else. */
  apiKey?: string | undefined;
  /** Patterns of the models it serves. */
  models: string[];
  /** The first whose patterns match a model is that model's; the last one matches every model. */
  quotas: [...Quota[], Quota];
  /** One call, body included. */
  timeoutMs: number;
  /** Chat calls and responses are asked for as streams and put together. */
  streamChat: boolean;
  /** A stream whose answer has begun and that says nothing for so long is dead. */
  idleTimeoutMs: number;
}

const optionalNumber = (field: keyof typeof LIMIT_FIELDS) =>
  jsonNumber(LIMIT_FIELDS[field]).optional();

const MODELS_TAKES =
  'a list of model names in which * stands for any text, such as ["gpt-4o*", "o3"]';
const models = z
  .array(z.string({ error: MODELS_TAKES }).min(1, MODELS_TAKES).max(200, MODELS_TAKES), {
    error: MODELS_TAKES,
  })
  .min(1, MODELS_TAKES)
  .max(100, MODELS_TAKES);

const limits = {
  rpm: optionalNumber("rpm"),
  tpm: optionalNumber("tpm"),
  burst: optionalNumber("burst"),
  max_concurrency: optionalNumber("maxConcurrency"),
};

/** An object that takes these members and no other, and says which they are. */
function members<T extends z.ZodRawShape>(shape: T) {
  const names = Object.keys(shape).join(", ");
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `the members ${names}; there is no ${issue.keys.join(", ")}`
        : `an object with the members ${names}`,
  });
}

const NAME_TAKES = "a name of its own, 1 to 32 of a-z 0-9 -";
/** A variable of Muster's own would give one of its secrets away. */
const SECRET_TAKES =
  "the name of the variable or secret that holds the key, such as OPENAI_API_KEY; not one of Muster's own";
const name = z.string({ error: NAME_TAKES }).regex(/^[a-z0-9-]{1,32}$/, NAME_TAKES);

const api = z.enum(APIS);

const entry = members({
  name,
  base_url: baseUrl,
  api: z
    .union([api.transform((one): Api[] => [one]), z.array(api).min(1)], {
      error: `${APIS.join(" or ")}, or a list of both`,
    })
    .default(["openai"]),
  api_key_secret: z
    .string({ error: SECRET_TAKES })
    .regex(/^(?!MUSTER_)[A-Za-z_][A-Za-z0-9_]{0,127}$/, SECRET_TAKES)
    .optional(),
  models: models.default(["*"]),
  ...limits,
  timeout_ms: optionalNumber("timeoutMs"),
  stream_chat: z.boolean({ error: "true or false" }).default(false),
  idle_timeout_ms: optionalNumber("idleTimeoutMs"),
  limits: z
    .array(members({ models, ...limits }), { error: "a list of {models, …limits}" })
    .max(100, "at most 100 entries")
    .default([]),
});
type Entry = z.infer<typeof entry>;

const LIST_TAKES =
  'a JSON array of upstreams, such as [{"name": "openai", "base_url": "https://api.openai.com/v1", "api_key_secret": "OPENAI_API_KEY"}]';

/** The variable UPSTREAMS: JSON text, or the array itself, as wrangler.toml may hold it. */
export const upstreamList = jsonText(
  LIST_TAKES,
  z.array(entry, { error: LIST_TAKES }).min(1, LIST_TAKES).max(50, "at most 50 upstreams"),
).superRefine((list, context) => {
  const refuse = (path: PropertyKey[], message: string) =>
    context.addIssue({ code: "custom", path, message });
  const names = list.map((one) => one.name);
  for (const [index, one] of list.entries()) {
    if (names.indexOf(one.name) < index) refuse([index, "name"], NAME_TAKES);
    const quotas = one.limits.map((limited) => quotaName(one.name, limited.models));
    for (const [at, quota] of quotas.entries()) {
      if (quotas.indexOf(quota) < at) {
        refuse([index, "limits", at, "models"], "models that no earlier entry of limits has");
      }
    }
  }
});

/** The Limiter of some models of an upstream. Neither names nor base names have a colon. */
function quotaName(upstream: string, patterns: readonly string[]): string {
  return `${upstream}:${JSON.stringify(patterns.toSorted())}`;
}

type CallsAtOnce = Pick<UpstreamLimits, "maxConcurrency" | "probes">;
const DEFAULT_CONCURRENCY = 50;

/** Calls in flight as they were configured; where they were not, it begins with fewer. */
export function callsAtOnce(configured: number | undefined): CallsAtOnce {
  if (configured !== undefined) return { maxConcurrency: configured };
  return { maxConcurrency: DEFAULT_CONCURRENCY, probes: true };
}

/** What an entry that says nothing of them gets. */
export interface UpstreamDefaults extends CallsAtOnce {
  timeoutMs: number;
  idleTimeoutMs: number;
}

/** A problem with a setting: where it is, and what is taken there. */
export interface Problem {
  at: string;
  takes: string;
}

/**
 * The upstreams of the variable, with their keys.
 *
 * @param vars where the keys are, by the names that `api_key_secret` tells.
 */
export function readUpstreams(
  list: readonly Entry[],
  vars: Readonly<Record<string, unknown>>,
  defaults: UpstreamDefaults,
): { upstreams: Upstream[]; problems: Problem[] } {
  const problems: Problem[] = [];
  const upstreams = list.map((one, index): Upstream => {
    const secret = one.api_key_secret;
    let apiKey: string | undefined;
    if (secret !== undefined) {
      const at = `UPSTREAMS[${index}].api_key_secret`;
      const found = vars[secret];
      const key = upstreamKey.safeParse(found);
      apiKey = key.data;
      if (found === undefined || found === "") {
        const takes = `a variable or secret that is set; ${secret} is not. On a deployed Worker: wrangler secret put ${secret}`;
        problems.push({ at, takes });
      } else if (!key.success) {
        problems.push({
          at,
          takes: `in ${secret} the upstream's key, printable and without spaces`,
        });
      }
    }
    const { maxConcurrency, probes } = defaults;
    const most =
      one.max_concurrency === undefined
        ? { maxConcurrency, probes }
        : callsAtOnce(one.max_concurrency);
    return {
      name: one.name,
      baseUrl: one.base_url,
      apis: one.api,
      apiKey,
      models: one.models,
      quotas: [
        ...one.limits.map((limited) => ({
          name: quotaName(one.name, limited.models),
          models: limited.models,
          limits: limitsOf(limited, most),
        })),
        { name: one.name, models: one.models, limits: limitsOf(one, most) },
      ],
      timeoutMs: one.timeout_ms ?? defaults.timeoutMs,
      streamChat: one.stream_chat,
      idleTimeoutMs: one.idle_timeout_ms ?? defaults.idleTimeoutMs,
    };
  });
  return { upstreams, problems };
}

type Limited = Pick<Entry, "rpm" | "tpm" | "burst" | "max_concurrency">;

function limitsOf(limited: Limited, most: CallsAtOnce): UpstreamLimits {
  const { rpm, tpm, burst, max_concurrency } = limited;
  return {
    rpm,
    tpm,
    burst,
    ...(max_concurrency === undefined ? most : callsAtOnce(max_concurrency)),
  };
}
