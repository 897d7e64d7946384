import { z } from "zod";
import { quoted } from "../core/quoted.ts";
import { eventType } from "./event.ts";
import { oneLine } from "./one-line.ts";
import { strict } from "./strict.ts";

/** A project's webhook endpoints: OpenAI's objects, with what is Muster's own in `muster`. */

const url = z.string().min(1).max(2048);
const name = oneLine;

const subscribed = z.enum(eventType.options, {
  error: ({ input }) => `${named(input)} is not sent here; one of ${eventType.options.join(", ")}`,
});

/** Not as JSON whatever it is: a list in a list in a list is more than the stack takes. */
function named(type: unknown): string {
  if (typeof type === "string") return JSON.stringify(quoted(type));
  return type === undefined ? "nothing" : "this";
}

const eventTypes = z
  .array(subscribed)
  .min(1, `at least one of ${eventType.options.join(", ")}`)
  .transform((types) => [...new Set(types)]);

export const newEndpoint = strict({ name, url, event_types: eventTypes }).meta({
  id: "CreateWebhookEndpoint",
});
export type NewEndpoint = z.infer<typeof newEndpoint>;

export const endpointChange = strict({
  name: name.optional(),
  url: url.optional().meta({ description: "Enables the endpoint, too, if a 410 disabled it." }),
  event_types: eventTypes.optional(),
  muster: strict({ enabled: z.boolean().optional() }).optional(),
}).meta({ id: "UpdateWebhookEndpoint" });
export type EndpointChange = z.infer<typeof endpointChange>;

export const rotation = strict({
  keep_old_secret_active_for_24_hours: z.boolean().default(false).meta({
    description: "Whether deliveries are signed with the old secret, too, for 24 hours.",
  }),
}).meta({ id: "RotateWebhookSecret" });

export const endpointTest = strict({ event_type: subscribed }).meta({ id: "TestWebhook" });

const seconds = z.number().int().meta({ description: "Unix seconds." });

export const webhookEndpoint = z
  .object({
    id: z.string(),
    object: z.literal("webhook_endpoint"),
    name: z.string(),
    url: z.string(),
    event_types: z.array(eventType),
    signing_secret_hint: z.string().nullable(),
    created_at: seconds,
    updated_at: seconds,
    muster: z.object({
      enabled: z.boolean(),
      disabled_at: seconds.nullable(),
      disabled_reason: z.string().nullable(),
    }),
  })
  .meta({ id: "WebhookEndpoint" });
export type WebhookEndpoint = z.infer<typeof webhookEndpoint>;

export const endpointWithSecret = webhookEndpoint
  .extend({
    signing_secret: z.string().meta({ description: "Told in this answer and never again." }),
  })
  .meta({ id: "WebhookEndpointWithSecret" });
export type EndpointWithSecret = z.infer<typeof endpointWithSecret>;

export const endpointList = z
  .object({
    object: z.literal("list"),
    data: z.array(webhookEndpoint),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
  .meta({ id: "WebhookEndpointList" });

export const deletedEndpoint = z
  .object({
    id: z.string(),
    object: z.literal("webhook_endpoint.deleted"),
    deleted: z.boolean(),
  })
  .meta({ id: "DeletedWebhookEndpoint" });

export const endpointTestResult = z
  .object({
    object: z.literal("webhook_endpoint.test"),
    webhook_endpoint_id: z.string(),
    event_type: eventType,
    status_code: z.number().int().meta({ description: "What the endpoint answered." }),
    success: z.literal(true),
  })
  .meta({ id: "WebhookEndpointTestResult" });

export const eventTypeList = z
  .object({ object: z.literal("list"), data: z.array(eventType) })
  .meta({ id: "WebhookEventTypeList" });
