import { z } from "zod";

/** The longest time a Node timer can wait, in milliseconds. */
const maxTimerMs = 2 ** 31 - 1;
const milliseconds = z.number().min(0).max(maxTimerMs);

const latency = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("fixed"), ms: milliseconds }),
  z.strictObject({
    kind: z.literal("lognormal"),
    medianMs: milliseconds,
    sigma: z.number().min(0),
    maxMs: milliseconds.optional(),
  }),
]);

const limits = z.strictObject({
  /** Requests a minute; the bucket refills continuously. */
  rpm: z.number().positive().optional(),
  /** How many requests a full bucket holds. Default: a whole minute's worth, as OpenAI has it. */
  burst: z.number().min(1).optional(),
  /** Tokens a minute; a call costs the `total_tokens` of the answer it would get. */
  tpm: z.number().positive().optional(),
  /** How many tokens a full bucket holds. Default: a whole minute's worth. */
  tokenBurst: z.number().min(1).optional(),
  /** Calls let in at one time. */
  concurrency: z.int().min(1).optional(),
  /** Answers tell nothing of the limits, and a 429 not when to come back. */
  silent: z.boolean().optional(),
});

/** What every fault says about when it hits. */
const aim = {
  /** The share of prompts it hits, picked by (seed, prompt, place in the list). */
  rate: z.number().min(0).max(1).default(1),
  /** Only prompts that contain this text. */
  match: z.string().min(1).optional(),
  /** Which calls of a prompt, of those that the limits let through: the first, the first n, all. */
  attempts: z
    .union([z.literal("first"), z.literal("always"), z.int().min(1)], {
      error: 'must be "first", "always" or a whole number from 1',
    })
    .default("first"),
  /**
   * How long the call waits before the fault hits. Default: the call's latency for the kinds that
   * start a 200 answer (hang_body, truncated, stream_error, not_json, huge, pretty), nothing for the rest.
   */
  afterMs: z
    .union([z.literal("latency"), milliseconds], {
      error: 'must be "latency" or a number of milliseconds',
    })
    .optional(),
};

/** The statuses a `status` fault can answer. */
export const faultCodes = [
  400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529,
] as const;

const fault = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("status"),
    ...aim,
    code: z.literal(faultCodes),
    /** Sent as `retry-after-ms` and `retry-after`; a 429 without it says one second. */
    retryAfterMs: milliseconds.optional(),
    /** Sent as `x-should-retry`. */
    shouldRetry: z.boolean().optional(),
    /** Sent as they are, over those that the other fields make. */
    headers: z.record(z.string(), z.string()).optional(),
  }),
  z.strictObject({
    kind: z.literal("insufficient_quota"),
    ...aim,
    retryAfterMs: milliseconds.optional(),
  }),
  z.strictObject({ kind: z.literal("reset"), ...aim }),
  z.strictObject({ kind: z.literal("hang"), ...aim }),
  z.strictObject({ kind: z.literal("hang_body"), ...aim }),
  /** `chunked`: cut between chunks; otherwise the content-length promises more than comes. */
  z.strictObject({ kind: z.literal("truncated"), ...aim, chunked: z.boolean().default(false) }),
  /** Half of a stream's events, then an error in it; a call that is not streamed gets a 500. */
  z.strictObject({
    kind: z.literal("stream_error"),
    ...aim,
    code: z.union([z.string(), z.int()]).default("server_error"),
  }),
  z.strictObject({ kind: z.literal("not_json"), ...aim }),
  /** `to`: where to; default, the URL that was called. */
  z.strictObject({ kind: z.literal("redirect"), ...aim, to: z.string().min(1).optional() }),
  z.strictObject({
    kind: z.literal("huge"),
    ...aim,
    bytes: z.int().min(1).max(500_000_000).default(3_000_000),
  }),
  z.strictObject({ kind: z.literal("pretty"), ...aim }),
]);

export const settingsSchema = z.strictObject({
  seed: z.int().default(1),
  /** When set, any other key gets 401: bearer, or for messages `x-api-key` as well. */
  apiKey: z.string().min(1).optional(),
  latency: latency.default({ kind: "fixed", ms: 20 }),
  /** Headers at once and the body after the latency, instead of both after it. */
  headersFirst: z.boolean().default(false),
  limits: limits.default({}),
  /** Where several hit, the first in the list wins. */
  faults: z.array(fault).default([]),
});

/** Settings as given: all optional. */
export type SimulatorSettings = z.input<typeof settingsSchema>;
/** Settings as used: defaults filled in. */
export type Settings = z.output<typeof settingsSchema>;
export type Latency = Settings["latency"];
export type LimitSettings = Settings["limits"];
export type Fault = Settings["faults"][number];

/** Settings that cannot be used; the message names the field. */
export class SettingsError extends Error {
  override name = "SettingsError";
}

/** Checks settings and fills in the defaults. Throws `SettingsError`. */
export function checkSettings(given: unknown): Settings {
  const result = settingsSchema.safeParse(given);
  if (result.success) return result.data;
  const complaints = result.error.issues.map(
    (issue) => `${fieldName(issue.path)}: ${issue.message}`,
  );
  throw new SettingsError(complaints.join("; "));
}

function fieldName(path: readonly PropertyKey[]): string {
  let name = "settings";
  for (const step of path) name += typeof step === "number" ? `[${step}]` : `.${String(step)}`;
  return name;
}
