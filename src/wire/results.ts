import { z } from "zod";
import { customId } from "./ids.ts";

/** The combined results, in the shape people already write, and the lines of an output file. */

/** A task that succeeded, with its answer's content. */
export const success = z.object({
  task_id: z.string(),
  content: z.unknown(),
  usage: z.unknown(),
  status: z.literal("success"),
});
export type Success = z.infer<typeof success>;

/** A task that did not. */
export const failure = z.object({
  task_id: z.string(),
  error: z.string(),
  status_code: z.number().int().optional(),
  retry: z.boolean().meta({ description: "Whether sending it again may succeed." }),
});
export type Failure = z.infer<typeof failure>;

export const summary = z
  .object({
    success: z.array(success),
    errors: z.array(failure),
    total: z.number().int().meta({ description: "Tasks of the batch, finished or not." }),
    success_count: z.number().int(),
    error_count: z.number().int(),
    has_more: z.boolean().optional().meta({ description: "With `limit`: ask on with `after`." }),
    last_id: z.string().nullable().optional(),
  })
  .meta({ id: "Results" });
export type Summary = z.infer<typeof summary>;

/** One line of an output or error file, and of JSONL results. */
export const outputLine = z
  .object({
    id: z.string(),
    custom_id: z.string(),
    response: z
      .object({ status_code: z.number().int(), request_id: z.string(), body: z.unknown() })
      .nullable(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
  })
  .meta({ id: "OutputLine" });
export type OutputLine = z.infer<typeof outputLine>;

/** One line of an input file. `body` is passed on byte for byte. */
export const inputLine = z
  .object({
    custom_id: customId,
    method: z.literal("POST"),
    url: z.string(),
    body: z.record(z.string(), z.unknown()),
  })
  .meta({ id: "InputLine" });
