import { v7 } from "uuid";
import { z } from "zod";

/**
 * Ids. A batch's id sorts by its time of creation (UUIDv7). The ids of its files and output lines
 * are made from it, so that making them twice gives the same ones.
 */

const hex = () => v7().replaceAll("-", "");

export const batchId = z.string().regex(/^batch_[0-9a-f]{32}$/);
export const fileId = z.string().regex(/^file-[0-9a-f]{32}(-output|-error)?$/);

/**
 * What clients call a task. Half a surrogate pair cannot be stored as UTF-8: two ids that differ
 * only in it would become the same one.
 */
export const customId = z
  .string()
  .min(1)
  .max(512)
  .refine((id) => id.isWellFormed(), "well-formed Unicode, without a lone surrogate");

/** A new batch's id. */
export function newBatchId(): string {
  return `batch_${hex()}`;
}

/** A new uploaded file's id. */
export function newFileId(): string {
  return `file-${hex()}`;
}

/** A new webhook endpoint's id. It sorts by its time of creation. */
export function newEndpointId(): string {
  return `whe_${hex()}`;
}

/** A new consumer conversation's name. */
export function newHolderId(): string {
  return hex();
}

/** The id of the request that an answer belongs to, for `x-request-id`. */
export function newRequestId(): string {
  return `req_${hex()}`;
}

/** The ids of a batch's output and error file. */
export function outputFileIds(batch: string): { output: string; error: string } {
  const stem = batch.slice("batch_".length);
  return { output: `file-${stem}-output`, error: `file-${stem}-error` };
}

/** What the ids of all output lines of a batch begin with; the task's number follows. */
export function outputLineStem(batch: string): string {
  return `batch_req_${batch.slice("batch_".length)}_`;
}

/** The id of the output line of one task. */
export function outputLineId(batch: string, seq: number): string {
  return `${outputLineStem(batch)}${seq}`;
}

/** The id of a batch's event of a type in one of its runs, also the `webhook-id` of its deliveries: it has no dot. */
export function eventId(batch: string, run: number, type: string): string {
  return `evt_${batch.slice("batch_".length)}_${run}_${type.replaceAll(".", "_")}`;
}
