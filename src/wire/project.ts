import { z } from "zod";
import { oneLine } from "./one-line.ts";
import { quotaOverrides } from "./quota.ts";
import { strict } from "./strict.ts";

/** Projects, as an organization's administrator sees them: OpenAI's objects, quotas in `muster`. */

const muster = strict({ quotas: quotaOverrides.optional() }).optional();

export const newProject = strict({ name: oneLine, muster }).meta({ id: "CreateProject" });
export type NewProject = z.infer<typeof newProject>;

export const projectChange = strict({
  name: oneLine.optional(),
  muster: muster.meta({ description: "Quotas that are not named stay as they are." }),
}).meta({ id: "UpdateProject" });
export type ProjectChange = z.infer<typeof projectChange>;

const seconds = z.number().int().meta({ description: "Unix seconds." });
const inForce = z.number().int().nullable();

export const projectObject = z
  .object({
    object: z.literal("organization.project"),
    id: z.string(),
    name: z.string(),
    created_at: seconds,
    archived_at: seconds.nullable(),
    status: z.enum(["active", "archived"]),
    muster: z.object({
      quotas: z
        .object({
          open_batches: inForce,
          waiting_tasks: inForce,
          stored_bytes: inForce,
          requests_per_minute: inForce,
        })
        .meta({ description: "In force; `null` is no limit." }),
    }),
  })
  .meta({ id: "OrganizationProject" });
export type ProjectObject = z.infer<typeof projectObject>;

export const projectList = z
  .object({
    object: z.literal("list"),
    data: z.array(projectObject),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
  .meta({ id: "OrganizationProjectList" });
