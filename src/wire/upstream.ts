import { z } from "zod";

const limit = z.number().nullable();

/** Some models of an upstream and the limits they share, as the Limiter has them now. */
export const quotaObject = z
  .object({
    name: z.string(),
    models: z.array(z.string()),
    limits: z.object({
      rpm: limit,
      tpm: limit,
      burst: limit,
      max_concurrency: z.number().int(),
    }),
    in_flight: z.number().int().meta({ description: "Calls of all batches of all projects." }),
    waiting: z
      .number()
      .int()
      .meta({ description: "Calls that batches want and may not have yet." }),
    batches: z.number().int().meta({ description: "Batches that have or want calls." }),
    cooldown_until: z.string().nullable().meta({
      format: "date-time",
      description: "Nothing starts before, after a 429.",
    }),
    throttles: z.number().int().meta({ description: "429s in a row; a burst counts once." }),
    health: z.enum(["healthy", "cooldown"]),
  })
  .meta({ id: "Quota" });

/** An upstream as it is configured, without its key, and how its quotas stand. */
export const upstreamObject = z
  .object({
    object: z.literal("upstream"),
    name: z.string(),
    base_url: z.string(),
    api: z.array(z.string()),
    models: z.array(z.string()),
    stream_chat: z.boolean(),
    timeout_ms: z.number().int(),
    quotas: z.array(quotaObject),
  })
  .meta({ id: "Upstream" });
export type UpstreamObject = z.infer<typeof upstreamObject>;

export const upstreamList = z
  .object({ object: z.literal("list"), data: z.array(upstreamObject) })
  .meta({ id: "UpstreamList" });
