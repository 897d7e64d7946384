import { z } from "zod";
import { TASK_STATES } from "../core/task.ts";

/** What happened to a task, as clients see it. */

const time = z.string().meta({ format: "date-time" });

export const attempt = z.object({
  attempt: z.number().int(),
  started_at: time,
  ended_at: time.nullable(),
  latency_ms: z.number().nullable().meta({ description: "Of the call, without the wait for it." }),
  result: z.enum(["running", "succeeded", "failed", "retry", "throttled", "lost"]),
  status_code: z.number().int().nullable(),
  error: z.string().nullable(),
  upstream: z.string().nullable().meta({ description: "Where its call went." }),
});

export const taskObject = z
  .object({
    task_id: z.string(),
    object: z.literal("batch.task"),
    batch_id: z.string(),
    index: z.number().int().meta({ description: "Its place in the input, from 0." }),
    state: z.enum(TASK_STATES),
    attempts: z.array(attempt),
    next_attempt_at: time.nullable().meta({ description: "For a task that waits for its retry." }),
    request: z
      .record(z.string(), z.unknown())
      .nullable()
      .meta({ description: "Its body, as it was sent; null once it was deleted." }),
    outcome: z
      .record(z.string(), z.unknown())
      .nullable()
      .meta({ description: "Its output line; null while it has none." }),
    same_as: z.string().nullable().meta({
      description: "The task whose call and answer this one shares, in a batch with dedupe.",
    }),
  })
  .meta({ id: "Task" });
/** A task's history; request and outcome are put in as the text they are. */
export type TaskObject = Omit<z.infer<typeof taskObject>, "request" | "outcome">;

/** A task in a list. */
export const taskSummary = z
  .object({
    task_id: z.string(),
    index: z.number().int(),
    state: z.enum(TASK_STATES),
    attempts: z.number().int().meta({ description: "Calls made, or under way." }),
    next_attempt_at: time.nullable(),
    latency_ms: z.number().nullable(),
    status_code: z.number().int().nullable(),
    prompt: z.string().nullable().meta({ description: "The beginning of what was asked." }),
    content: z.string().nullable().meta({ description: "The beginning of the answer." }),
    error: z.string().nullable(),
    retry: z
      .boolean()
      .nullable()
      .meta({ description: "Whether sending it again may succeed; null while it is open." }),
  })
  .meta({ id: "TaskSummary" });
export type TaskSummary = z.infer<typeof taskSummary>;

export const taskList = z
  .object({
    object: z.literal("list"),
    data: z.array(taskSummary),
    next_after: z.number().int().nullable().meta({
      description:
        "The `after` of the next page; null at the end. A page that searches may be short, or empty, long before that.",
    }),
  })
  .meta({ id: "TaskList" });
export type TaskList = z.infer<typeof taskList>;

/** A batch over time. */
export const timeline = z
  .object({
    object: z.literal("batch.timeline"),
    step_ms: z.number().int(),
    data: z.array(
      z.object({
        at: time.meta({ description: "When the step begins." }),
        succeeded: z.number().int(),
        failed: z.number().int(),
        throttled: z.number().int().meta({ description: "Calls answered 429." }),
        retried: z.number().int().meta({ description: "Other calls made again." }),
        latency_ms: z
          .array(z.tuple([z.number(), z.number().int()]))
          .meta({ description: "Pairs of a latency, to 9 %, and the calls that took it." }),
      }),
    ),
    next_after: z.string().meta({
      description: "The `after` that goes on from here. A step may be told in several parts.",
    }),
    has_more: z.boolean().meta({ description: "Whether there is more already." }),
  })
  .meta({ id: "Timeline" });
export type TimelineObject = z.infer<typeof timeline>;
