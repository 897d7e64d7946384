import type { z } from "zod";
import { refusal, refusals } from "../openapi.ts";

/** What the organization's routes have in common in the document. */

export const adminRefusals = {
  400: refusals[400],
  401: refusal("Not the admin key."),
  429: refusal("Too many wrong keys; `retry-after` says how long to wait."),
  500: refusals[500],
  503: refusals[503],
};
export const noProject = { 404: refusal("No such project.") };
export const noKey = { 404: refusal("No such project, or no such key in it.") };
export const tooLarge = { 413: refusal("More than 64 KiB.") };

/** A body as JSON. */
export function json<T extends z.ZodType>(schema: T) {
  return { content: { "application/json": { schema } } };
}

/** A good answer. */
export function answer<T extends z.ZodType>(description: string, schema: T) {
  return { description, ...json(schema) };
}
