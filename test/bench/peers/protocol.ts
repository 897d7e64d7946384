import { z } from "zod";

/** What the benchmark and a peer's process say to each other. */

/** The peer's one argument, as JSON: where to call, and what it may do there. */
export const order = z.object({
  /** With /v1. */
  baseUrl: z.string(),
  /** For whatever it must put somewhere. */
  dir: z.string(),
  /** Calls in flight. */
  lanes: z.number(),
  timeoutMs: z.number(),
  /** Limits of the upstream, as far as they are told. */
  rpm: z.number().optional(),
  burst: z.number().optional(),
  tpm: z.number().optional(),
  tokenBurst: z.number().optional(),
  /** What a call costs against a limit on tokens, as `tokensOf` estimates it. */
  averageTokens: z.number(),
});
export type Order = z.output<typeof order>;

/** To the peer: call every request of a JSONL file, write what came of them to another. */
export const request = z.object({ file: z.string(), out: z.string() });
export type Request = z.output<typeof request>;

/** A line of a file of requests. */
export const requestLine = z.object({
  body: z.object({
    model: z.string(),
    messages: z.array(z.object({ role: z.literal("user"), content: z.string() })),
    max_tokens: z.number(),
  }),
});
export type Body = z.output<typeof requestLine>["body"];

/** A line of the peer's output: the answer's text, or null when the call failed for good. */
export const outcomeLine = z.object({ index: z.number(), text: z.string().nullable() });

/**
 * From the peer: it is up; the first call of a file was answered; all its calls are over; its
 * output is written.
 */
export const news = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("ready") }),
  z.object({ kind: z.enum(["first", "done", "written"]), file: z.string() }),
]);
export type News = z.output<typeof news>;
