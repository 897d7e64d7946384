import { z } from "zod";

const limit = z.number().nullable();

const downSince = z.string().nullable().meta({
  format: "date-time",
  description: "Since then every call failed: no answer, or 5xx. Null while it is up.",
});

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
    learned: z
      .object({
        rpm: limit.meta({ description: "Requests a minute, by the headers of answers." }),
        tpm: limit.meta({ description: "Tokens a minute, by the headers of answers." }),
        told_at: z.string().nullable().meta({ format: "date-time" }),
        pace_rpm: limit.meta({ description: "Requests a minute, by what 429s taught." }),
      })
      .meta({
        description: "What was found out of the upstream's limits; null where nothing was.",
      }),
    in_force: z.object({ rpm: limit, tpm: limit, max_concurrency: z.number().int() }).meta({
      description:
        "What is kept to: the strictest of what is configured and what is learned, just below it.",
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
    health: z.enum(["healthy", "cooldown", "down"]),
    down_since: downSince,
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
    health: z.enum(["up", "down"]).meta({ description: "down when one of its quotas is." }),
    down_since: downSince,
    quotas: z.array(quotaObject),
  })
  .meta({ id: "Upstream" });
export type UpstreamObject = z.infer<typeof upstreamObject>;

export const upstreamList = z
  .object({ object: z.literal("list"), data: z.array(upstreamObject) })
  .meta({ id: "UpstreamList" });
