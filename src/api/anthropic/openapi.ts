import { z } from "zod";
import { anthropicError } from "../../wire/anthropic/error.ts";

/** What the routes of Anthropic's door have in common in the document. */
export const onMessageBatches = {
  tags: ["Message batches"],
  security: [{ xApiKey: [] }, { apiKey: [] }],
};

/** Headers that the official client sends. */
export const messageHeaders = z.object({
  "anthropic-version": z.string().optional().meta({
    description: "A date. Anthropic asks for it; here it is 2023-06-01 when it is missing.",
  }),
  "anthropic-beta": z.string().optional(),
});

/** A response in Anthropic's error shape. */
export function anthropicRefusal(description: string) {
  return { description, content: { "application/json": { schema: anthropicError } } };
}

/** The responses every route of the door may give besides its own. */
export const anthropicRefusals = {
  400: anthropicRefusal("Wrong input; the message begins with the field."),
  401: anthropicRefusal("No key, or one that is not known."),
  403: anthropicRefusal("The key's scope is `read`."),
  429: anthropicRefusal(
    "Too many requests, or a quota is used up; `retry-after` says how long to wait.",
  ),
  500: anthropicRefusal("Muster failed."),
  503: anthropicRefusal("Muster is not configured."),
};
