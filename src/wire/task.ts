import { z } from "zod";

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
});

export const taskObject = z
  .object({
    task_id: z.string(),
    object: z.literal("batch.task"),
    batch_id: z.string(),
    index: z.number().int().meta({ description: "Its place in the input, from 0." }),
    state: z.enum(["pending", "running", "succeeded", "failed", "cancelled", "expired"]),
    attempts: z.array(attempt),
    next_attempt_at: time.nullable().meta({ description: "For a task that waits for its retry." }),
  })
  .meta({ id: "Task" });
export type TaskObject = z.infer<typeof taskObject>;
