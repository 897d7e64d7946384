import { z } from "zod";
import { eventType } from "./event.ts";

/** Webhooks that were sent or are to be sent, as clients see them. */

const time = z.string().meta({ format: "date-time" });

const deliveryAttempt = z.object({
  started_at: time,
  duration_ms: z.number().int(),
  status_code: z.number().int().nullable(),
  error: z.string().nullable().meta({ description: "Null for a 2xx." }),
  next_attempt_at: time.nullable().meta({ description: "When it was to be tried again." }),
});
export type DeliveryAttempt = z.infer<typeof deliveryAttempt>;

export const deliveryObject = z
  .object({
    id: z.string(),
    object: z.literal("batch.delivery"),
    event_id: z.string().meta({
      description: "The webhook-id, the same at every attempt and every receiver.",
    }),
    event_type: eventType,
    webhook_endpoint_id: z
      .string()
      .nullable()
      .meta({ description: "The endpoint of the project; null for the batch's own webhook." }),
    url: z.string(),
    state: z.enum(["due", "delivered", "failed"]),
    attempts: z.array(deliveryAttempt),
    attempts_left: z.number().int().meta({ description: "Of its schedule, while it is due." }),
    next_attempt_at: time.nullable(),
    last_status: z.number().int().nullable(),
    last_error: z.string().nullable(),
  })
  .meta({ id: "Delivery" });
export type DeliveryObject = z.infer<typeof deliveryObject>;

export const deliveryList = z
  .object({ object: z.literal("list"), data: z.array(deliveryObject) })
  .meta({ id: "DeliveryList" });

/** One attempt to send to an endpoint: for a batch that ended, or as a test. */
export const endpointAttempt = deliveryAttempt
  .extend({
    object: z.literal("webhook_endpoint.attempt"),
    test: z.boolean(),
    event_id: z.string().meta({ description: "The webhook-id." }),
    event_type: eventType,
    batch_id: z.string().nullable().meta({ description: "Null for a test." }),
    delivery_id: z.string().nullable().meta({ description: "Of the batch, to send it again." }),
  })
  .meta({ id: "WebhookEndpointAttempt" });
export type EndpointAttemptObject = z.infer<typeof endpointAttempt>;

export const endpointAttemptList = z
  .object({ object: z.literal("list"), data: z.array(endpointAttempt) })
  .meta({ id: "WebhookEndpointAttemptList" });
