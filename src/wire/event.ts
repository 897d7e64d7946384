import { z } from "zod";

/** A webhook's content: OpenAI's event, as `client.webhooks.unwrap()` returns it. */
export const eventType = z.enum([
  "batch.completed",
  "batch.failed",
  "batch.expired",
  "batch.cancelled",
]);
export type EventType = z.infer<typeof eventType>;

export const event = z.object({
  id: z.string(),
  object: z.literal("event"),
  type: eventType,
  created_at: z.number().int(),
  data: z.object({ id: z.string() }),
});
export type Event = z.infer<typeof event>;
