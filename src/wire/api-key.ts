import { z } from "zod";
import { oneLine } from "./one-line.ts";
import { strict } from "./strict.ts";

/** A project's API keys: OpenAI's objects, with `scopes`, `value` and rotation beside them. */

/** `read` takes GET and HEAD, `write` takes everything. */
export const scope = z.enum(["read", "write"], { error: "takes read or write" });
export type Scope = z.infer<typeof scope>;

const SCOPES = z
  .array(scope)
  .min(1, "at least one of read, write")
  .transform((given): Scope[] => (given.includes("write") ? ["read", "write"] : ["read"]))
  .meta({ description: "`write` implies `read`." });
const lifetime = z
  .int()
  .min(1)
  .max(10 * 365 * 86_400)
  .meta({ description: "Seconds from now; the key expires then." });

export const newApiKey = strict({
  name: oneLine,
  scopes: SCOPES.default(["read", "write"]),
  expires_in_seconds: lifetime.nullable().optional(),
}).meta({ id: "CreateProjectApiKey" });
export type NewApiKey = z.infer<typeof newApiKey>;

export const apiKeyChange = strict({
  name: oneLine.optional(),
  scopes: SCOPES.optional(),
  expires_in_seconds: lifetime.nullable().optional().meta({ description: "`null`: never." }),
}).meta({ id: "UpdateProjectApiKey" });
export type ApiKeyChange = z.infer<typeof apiKeyChange>;

/** A week: longer than any deployment of a new secret takes. */
export const MAX_GRACE_S = 7 * 86_400;

export const keyRotation = strict({
  grace_seconds: z.int().min(0).max(MAX_GRACE_S).default(0).meta({
    description: "The old secret is good for so long. 0: it is refused from now on.",
  }),
}).meta({ id: "RotateProjectApiKey" });

const seconds = z.number().int().meta({ description: "Unix seconds." });

export const apiKeyObject = z
  .object({
    object: z.literal("organization.project.api_key"),
    id: z.string(),
    name: z.string(),
    redacted_value: z.string(),
    created_at: seconds,
    last_used_at: seconds.nullable().meta({ description: "To the minute." }),
    expires_at: seconds.nullable(),
    scopes: z.array(scope),
    owner: z.object({
      type: z.literal("service_account"),
      service_account: z.object({
        id: z.string(),
        name: z.string(),
        created_at: seconds,
        role: z.string(),
      }),
    }),
    owner_project_access: z.enum(["active", "inactive"]),
  })
  .meta({ id: "ProjectApiKey" });
export type ApiKeyObject = z.infer<typeof apiKeyObject>;

export const apiKeyWithValue = apiKeyObject
  .extend({ value: z.string().meta({ description: "Told in this answer and never again." }) })
  .meta({ id: "ProjectApiKeyWithValue" });

export const apiKeyList = z
  .object({
    object: z.literal("list"),
    data: z.array(apiKeyObject),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
  .meta({ id: "ProjectApiKeyList" });

export const deletedApiKey = z
  .object({
    object: z.literal("organization.project.api_key.deleted"),
    id: z.string(),
    deleted: z.literal(true),
  })
  .meta({ id: "DeletedProjectApiKey" });
