import { z } from "zod";
import { batchObject, taskCounts } from "./batch.ts";
import { failure, success } from "./results.ts";

/**
 * What `GET /v1/batches/{id}/events` tells, each the `data` of a server-sent event of that name:
 * - `status`: the batch object, first of all and whenever its status, pause or run changes;
 * - `task`: a task that has ended; its `id` is its place in the order of recording;
 * - `progress`: counts and usage, at most once a second;
 * - `end`: the batch object as it ended. The stream is over then.
 */

/** Which tasks are told of: none, what became of them, or their results too. */
export const liveTasks = z.enum(["none", "state", "result"]);
export type LiveTasks = z.infer<typeof liveTasks>;

export const liveTask = z
  .object({
    task_id: z.string(),
    index: z.number().int().meta({ description: "Its place in the input, from 0." }),
    state: z.enum(["succeeded", "failed", "cancelled", "expired"]),
    retry: z.boolean().meta({ description: "Whether sending it again may succeed." }),
    latency_ms: z.number().nullable().meta({ description: "Of the call; null without one." }),
    recorded_at: z.string().meta({ format: "date-time" }),
    result: z
      .union([success, failure])
      .optional()
      .meta({ description: "With `tasks=result`: its entry in the results." }),
  })
  .meta({ id: "LiveTask" });
export type LiveTask = z.infer<typeof liveTask>;

export const liveProgress = z
  .object({
    total: z.number().int(),
    counts: taskCounts,
    usage: batchObject.shape.usage,
  })
  .meta({ id: "LiveProgress" });
export type LiveProgress = z.infer<typeof liveProgress>;
