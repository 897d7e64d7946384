import { z } from "zod";

/** What a project may use. */

/** Bounds in force; null is none. */
export interface Quotas {
  /** Batches that have not ended. */
  openBatches: number | null;
  /** Tasks that wait for a call, in all of its batches. */
  waitingTasks: number | null;
  /** Bytes of uploaded files and of results. */
  storedBytes: number | null;
  /** Requests to Muster's own API. */
  requestsPerMinute: number | null;
}

/** No bounds at all. */
export const UNBOUNDED: Quotas = {
  openBatches: null,
  waitingTasks: null,
  storedBytes: null,
  requestsPerMinute: null,
};

const bound = (what: string) =>
  z
    .union([z.int().min(0).max(Number.MAX_SAFE_INTEGER), z.literal("none")], {
      error: `takes a whole number, "none" for no limit, or null for the setting's`,
    })
    .nullable()
    .optional()
    .meta({ description: `${what} \`null\`: as the setting says; \`"none"\`: no limit.` });

/** What is set for one project; a member that is null or absent is as the settings say. */
export const quotaOverrides = z.strictObject({
  open_batches: bound("Batches that have not ended."),
  waiting_tasks: bound("Tasks that wait for a call."),
  stored_bytes: bound("Bytes of files, tasks, results and kept answers."),
  requests_per_minute: bound("Requests to this API."),
});
export type QuotaOverrides = z.infer<typeof quotaOverrides>;

const inForce = (value: QuotaOverrides[keyof QuotaOverrides], setting: number | null) =>
  value === "none" ? null : (value ?? setting);

/** The settings, with what is set for one project in their place. */
export function quotasOf(settings: Quotas, set: QuotaOverrides): Quotas {
  return {
    openBatches: inForce(set.open_batches, settings.openBatches),
    waitingTasks: inForce(set.waiting_tasks, settings.waitingTasks),
    storedBytes: inForce(set.stored_bytes, settings.storedBytes),
    requestsPerMinute: inForce(set.requests_per_minute, settings.requestsPerMinute),
  };
}
