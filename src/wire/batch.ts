import { z } from "zod";
import { MOST_DOLLARS, nanosOf } from "../core/price.ts";
import { expiresAfter } from "./file.ts";
import { customId } from "./ids.ts";
import { strict } from "./strict.ts";
import { whole } from "./whole.ts";

/** Batches as clients see them: OpenAI's object, with what is Muster's own in `muster`. */

/** Endpoints a batch may call: the union of OpenAI's `BatchCreateParams`, and Anthropic's one. */
export const ENDPOINTS = [
  "/v1/responses",
  "/v1/chat/completions",
  "/v1/embeddings",
  "/v1/completions",
  "/v1/moderations",
  "/v1/images/generations",
  "/v1/images/edits",
  "/v1/videos",
  "/v1/messages",
] as const;
export const endpoint = z.enum(ENDPOINTS, { error: `one of ${ENDPOINTS.join(", ")}` });
export type Endpoint = z.infer<typeof endpoint>;

export const batchStatus = z.enum([
  "validating",
  "failed",
  "in_progress",
  "finalizing",
  "completed",
  "expired",
  "cancelling",
  "cancelled",
]);
export type BatchStatus = z.infer<typeof batchStatus>;

/** Whether nothing more happens to a batch by itself. */
export function hasEnded(status: BatchStatus): boolean {
  return ["completed", "failed", "expired", "cancelled"].includes(status);
}

/** By zod, so that its characters are counted as a value's are: those of Unicode, not of UTF-16. */
const metadataKey = z.string().max(64);

export const metadata = z
  .record(z.string(), z.string().max(512))
  .refine((pairs) => Object.keys(pairs).length <= 16, "at most 16 pairs")
  .refine(
    (pairs) => Object.keys(pairs).every((key) => metadataKey.safeParse(key).success),
    "keys of at most 64 characters",
  )
  .meta({ maxProperties: 16, propertyNames: { maxLength: 64 } });

const WINDOW_TAKES = "a length of time such as 24h: a whole number of m, h or d, from 1m to 30d";
const UNIT_MS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A completion window in milliseconds, or undefined when it is not one. */
export function windowMs(window: string): number | undefined {
  const [, count, unit] = /^([1-9][0-9]{0,4})([mhd])$/.exec(window) ?? [];
  const ms = Number(count) * (UNIT_MS[unit ?? ""] ?? Number.NaN);
  return ms >= 60_000 && ms <= 30 * 86_400_000 ? ms : undefined;
}

export const completionWindow = z
  .string()
  .refine((window) => windowMs(window) !== undefined, WINDOW_TAKES);

export const webhook = strict({
  url: z.string().max(2048),
  secret: z.string().optional(),
});

/** What becomes of a task whose consumer was lost: it is called again, or it fails. */
export const onUnknown = z.enum(["retry", "fail"], { error: "retry or fail" });

/** Calls of one batch in flight at most. */
export const maxConcurrency = whole(1, 10_000);

/** A batch's weight where batches compete: one with 20 gets twice the calls of one with 10. */
export const priority = whole(1, 100);
export const DEFAULT_PRIORITY = 10;

/** Tokens that all calls of a batch may take together, input and output. */
export const maxTokensTotal = whole(1, 1e12);

const MAX_COST_TAKES = `US dollars, from 0.000000001 to ${MOST_DOLLARS}`;

/** What all calls of a batch may cost together: US dollars on the wire, nano-dollars inside. */
export const maxCost = z
  .number()
  .max(MOST_DOLLARS, MAX_COST_TAKES)
  .transform((dollars, context) => {
    const nanos = nanosOf(dollars);
    if (nanos !== undefined && nanos > 0) return nanos;
    context.addIssue({ code: "custom", message: MAX_COST_TAKES });
    return z.NEVER;
  });

const POOL =
  "Uses all upstreams that serve the batch at once, and not one after the other as the first rests or is down.";

const options = {
  metadata: metadata.nullish(),
  completion_window: completionWindow.default("24h"),
  max_concurrency: maxConcurrency.optional(),
  priority: priority.default(DEFAULT_PRIORITY),
  output_expires_after: expiresAfter.nullish().meta({
    description: "When the results are deleted, counted from the batch's end.",
  }),
  max_tokens_total: maxTokensTotal.optional(),
  max_cost: maxCost.optional(),
  dedupe: z.boolean().default(false).meta({
    description: "Calls equal bodies once, and gives each of their tasks the answer.",
  }),
  pool: z.boolean().default(false).meta({ description: POOL }),
  webhook: webhook.optional(),
  on_unknown: onUnknown.default("retry"),
};

const batchOptions = z.object(options);
/** What can be said of a batch, wherever its tasks come from. */
export type BatchOptions = z.infer<typeof batchOptions>;

/** One batch from an uploaded file: what the official SDK sends. */
export const fromFile = strict({ input_file_id: z.string(), endpoint, ...options }).meta({
  id: "CreateBatchFromFile",
});

/** Endpoints that take a prompt as a user's message. */
const PROMPT_ENDPOINTS = ["/v1/chat/completions", "/v1/messages"] as const;
export type PromptEndpoint = (typeof PROMPT_ENDPOINTS)[number];

/**
 * Characters of a model's name. It stands in lists, and the Limiter that all projects share remembers
 * it: as long as a body it would take their memory.
 */
export const MAX_MODEL_LENGTH = 512;

/** One batch from prompts: each becomes a user's message with these settings. */
export const fromPrompts = z
  .looseObject({
    prompts: z.array(z.string()).min(1),
    model: z.string().min(1).max(MAX_MODEL_LENGTH),
    endpoint: z
      .enum(PROMPT_ENDPOINTS, {
        error: `prompts take ${PROMPT_ENDPOINTS.join(" or ")}; send requests for another endpoint`,
      })
      .optional()
      .meta({ description: "By default the first of them that the model is served on." }),
    ...options,
  })
  .meta({
    id: "CreateBatchFromPrompts",
    description:
      "Any other member (max_tokens, temperature, …) goes into each request's body as it is.",
  });

/** One request among a batch's own: a line of an input file, of which most may be left out. */
export const inlineRequest = strict({
  custom_id: customId.optional(),
  body: z.record(z.string(), z.unknown()),
  method: z.literal("POST").optional(),
  url: z.string().optional().meta({ description: "The batch's endpoint, if it is there." }),
});

/** One batch from request bodies, or from the lines of an input file as they are. */
export const fromRequests = strict({
  endpoint,
  requests: z.array(inlineRequest).min(1),
  ...options,
}).meta({ id: "CreateBatchFromRequests" });

/** Both without a look at the single tasks: those are read one by one, so that each is told of. */
export const aroundPrompts = fromPrompts.extend({ prompts: z.array(z.unknown()).min(1) });
export const aroundRequests = fromRequests.extend({ requests: z.array(z.unknown()).min(1) });

const BUDGETS = {
  max_tokens_total: maxTokensTotal.nullish().meta({ description: "null is no limit." }),
  max_cost: maxCost.nullish().meta({ description: "In US dollars; null is no limit." }),
};

/** What a retry may change. */
export const batchRetry = strict(BUDGETS).meta({ id: "BatchRetry" });
export type BatchRetry = z.infer<typeof batchRetry>;

const CHANGES = {
  max_concurrency: maxConcurrency
    .nullish()
    .meta({ description: "null takes the batch's own limit away." }),
  priority: priority.nullish().meta({ description: `null is ${DEFAULT_PRIORITY}.` }),
  pool: z
    .boolean()
    .nullish()
    .meta({ description: `${POOL} null is false.` }),
  ...BUDGETS,
  metadata: metadata.nullish().meta({ description: "In place of all pairs there were." }),
};

/** What can be changed of a batch. A member that is absent stays as it is. */
export const batchChange = strict(CHANGES)
  .refine((change) => Object.keys(change).length > 0, {
    error: `takes at least one of ${Object.keys(CHANGES).join(", ")}`,
  })
  .meta({ id: "BatchChange", minProperties: 1 });
export type BatchChange = z.infer<typeof batchChange>;

const at = z.number().int().nullable();

/** Where a batch's tasks are. Their sum is `total`, always. */
export const taskCounts = z.object({
  pending: z.number().int(),
  running: z.number().int(),
  succeeded: z.number().int(),
  failed: z.number().int(),
  cancelled: z.number().int(),
  expired: z.number().int(),
});
export type TaskCounts = z.infer<typeof taskCounts>;

export const batchError = z.object({
  code: z.string(),
  message: z.string(),
  param: z.string().nullable(),
  line: z.number().int().nullable(),
});
export type BatchError = z.infer<typeof batchError>;

const dollars = z.number().nullable();

/** What a batch may spend, and has spent: tokens, and US dollars. */
export const budget = z
  .object({
    max_tokens_total: z.number().int().nullable(),
    max_cost: dollars,
    spent_tokens: z.number().int(),
    spent_cost: dollars.meta({
      description: "Of the calls whose model had a price; null when none had.",
    }),
    reserved_tokens: z.number().int().meta({ description: "For the calls in flight." }),
    reserved_cost: dollars,
    stopped: z
      .number()
      .int()
      .meta({ description: "Tasks that failed with budget_stopped, for want of budget." }),
  })
  .meta({ id: "Budget" });

export const batchObject = z
  .object({
    id: z.string(),
    object: z.literal("batch"),
    endpoint,
    model: z.string().nullable(),
    errors: z.object({ object: z.literal("list"), data: z.array(batchError) }).nullable(),
    input_file_id: z.string().nullable(),
    completion_window: z.string(),
    status: batchStatus,
    output_file_id: z.string().nullable(),
    error_file_id: z.string().nullable(),
    created_at: z.number().int(),
    in_progress_at: at,
    expires_at: at,
    finalizing_at: at,
    completed_at: at,
    failed_at: at,
    expired_at: at,
    cancelling_at: at,
    cancelled_at: at,
    request_counts: z.object({
      total: z.number().int(),
      completed: z.number().int(),
      failed: z.number().int(),
    }),
    usage: z.object({
      input_tokens: z.number().int(),
      input_tokens_details: z.object({ cached_tokens: z.number().int() }),
      output_tokens: z.number().int(),
      output_tokens_details: z.object({ reasoning_tokens: z.number().int() }),
      total_tokens: z.number().int(),
    }),
    metadata: z.record(z.string(), z.string()).nullable(),
    muster: z.object({
      counts: taskCounts,
      upstream: z.string(),
      run: z.number().int().meta({ description: "1, and one more with each retry." }),
      paused: z.boolean(),
      on_unknown: onUnknown,
      audit: taskCounts
        .extend({
          total: z.number().int(),
          input_sha256: z
            .string()
            .nullable()
            .meta({ description: "SHA-256 of the bytes that were sent: the file, or the body." }),
          outcomes_sha256: z
            .string()
            .nullable()
            .meta({ description: "SHA-256 of all results as JSONL; null until the end." }),
        })
        .meta({ id: "Audit" }),
      max_concurrency: z.number().int().nullable(),
      priority: z.number().int(),
      budget,
      dedupe: z.boolean(),
      pool: z.boolean(),
      twins: z.number().int().meta({ description: "Tasks that share the call of an earlier one." }),
      results_deleted_at: at.meta({
        description:
          "When results were deleted before their batch, all or those of one file: it was deleted, or expired.",
      }),
      webhook: z
        .object({
          url: z.string(),
          secret: z.string().optional().meta({ description: "Only in the answer that made it." }),
        })
        .nullable(),
    }),
  })
  .meta({ id: "Batch" });
export type BatchObject = z.infer<typeof batchObject>;

export const batchList = z
  .object({
    object: z.literal("list"),
    data: z.array(batchObject),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
  .meta({ id: "BatchList" });
export type BatchList = z.infer<typeof batchList>;
