import { z } from "zod";

/** What happened to a task, and the webhooks of a batch, as clients see them. */

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

export const deliveryObject = z
  .object({
    id: z.string().meta({ description: "The webhook-id, the same at every attempt." }),
    object: z.literal("batch.delivery"),
    url: z.string(),
    state: z.enum(["due", "delivered", "failed"]),
    attempts: z.number().int(),
    next_attempt_at: time.nullable(),
    last_status: z.number().int().nullable(),
    last_error: z.string().nullable(),
  })
  .meta({ id: "Delivery" });
export type DeliveryObject = z.infer<typeof deliveryObject>;

export const deliveryList = z
  .object({ object: z.literal("list"), data: z.array(deliveryObject) })
  .meta({ id: "DeliveryList" });
