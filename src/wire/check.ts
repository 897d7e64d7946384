import { z } from "zod";
import { batchError, endpoint } from "./batch.ts";

/** What `POST /v1/batches?dry_run=true` answers: nothing was called, nothing was kept. */
export const batchCheck = z
  .object({
    object: z.literal("batch.check"),
    valid: z.boolean().meta({ description: "Whether the batch would be opened and begin." }),
    endpoint,
    tasks: z.number().int().meta({ description: "Tasks that are right." }),
    models: z
      .array(z.object({ model: z.string().nullable(), tasks: z.number().int() }))
      .meta({ description: "The first hundred." }),
    errors: z.object({
      object: z.literal("list"),
      data: z.array(batchError).meta({ description: "The first hundred, by line." }),
      total: z.number().int().meta({
        description: "All of a file's; of inline tasks up to 1,000, behind which none is read.",
      }),
    }),
    estimate: z.object({
      calls: z.number().int().meta({ description: "Fewer than tasks where dedupe joins some." }),
      input_tokens: z.number().int(),
      output_tokens_at_most: z
        .number()
        .int()
        .nullable()
        .meta({ description: "Null when a task does not bound its answer." }),
      output_tokens_assumed: z.number().int().meta({
        description: "As bounded, and 300 for each answer that is not.",
      }),
      cost_at_most: z.number().nullable().meta({
        description: "US dollars; null when a model has no price or an answer no bound.",
      }),
      cost_assumed: z
        .number()
        .nullable()
        .meta({ description: "US dollars; null when a model has no price." }),
      finish_seconds: z.number().meta({
        description:
          "Under the limits as they stand and the batch's max_concurrency, with nothing else to do: the least that any order of calls needs.",
      }),
      finish_seconds_behind_others: z.number().meta({
        description: "The same, behind everything of this project that waits now.",
      }),
      bound_by: z.enum(["requests", "tokens", "calls in flight"]),
    }),
  })
  .meta({ id: "BatchCheck" });
export type BatchCheck = z.infer<typeof batchCheck>;
