import { v7 } from "uuid";
import { z } from "zod";

/**
 * Ids. A batch's id sorts by its time of creation (UUIDv7). The ids of its files and output lines
 * are made from it, so that making them twice gives the same ones.
 */

const hex = () => v7().replaceAll("-", "");

export const batchId = z.string().regex(/^batch_[0-9a-f]{32}$/);
export const fileId = z.string().regex(/^file-[0-9a-f]{32}(-output|-error)?$/);
export const uploadId = z.string().regex(/^upload_[0-9a-f]{32}$/);

/**
 * What clients call a task. Half a surrogate pair cannot be stored as UTF-8: two ids that differ
 * only in it would become the same one.
 */
export const customId = z
  .string()
  .min(1)
  .max(512)
  .refine((id) => id.isWellFormed(), "well-formed Unicode, without a lone surrogate");

/** What the ids of something new are made from. The same seed makes the same ids. */
export function newSeed(): string {
  return hex();
}

/** A new batch's id. */
export function newBatchId(seed = newSeed()): string {
  return `batch_${seed}`;
}

/** The first id that a batch of a time or later can have. */
export function firstBatchId(atMs: number): string {
  return `batch_${Math.max(0, atMs).toString(16).padStart(12, "0")}`;
}

/** What a batch of messages is called at Anthropic's door. It is the same batch at all doors. */
export function messageBatchId(batch: string): string {
  return `msg${batch}`;
}

/** The batch's own id of either of its two names; any other text stays as it is. */
export function batchIdOf(name: string): string {
  return /^msgbatch_[0-9a-f]{32}$/.test(name) ? name.slice("msg".length) : name;
}

/** A new uploaded file's id. */
export function newFileId(seed = newSeed()): string {
  return `file-${seed}`;
}

/** The ids of a new upload in parts, and of a part of one. */
export function newUploadId(seed = newSeed()): string {
  return `upload_${seed}`;
}
export function newPartId(seed = newSeed()): string {
  return `part_${seed}`;
}

/** The file that a batch's input is kept in when its requests came with it, and were too many. */
export function ownInputFileId(batch: string): string {
  return newFileId(batch.slice("batch_".length));
}

/** A new webhook endpoint's id. It sorts by its time of creation. */
export function newEndpointId(seed = newSeed()): string {
  return `whe_${seed}`;
}

/** A new project's id. It sorts by its time of creation, and can stand in a key of its own. */
export function newProjectId(): string {
  return `proj_${hex()}`;
}

/** The id of a new API key, which is no secret. */
export function newApiKeyId(): string {
  return `key_${hex()}`;
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

/** The id of an event that is sent as a test. */
export function newTestEventId(): string {
  return `evt_test_${hex()}`;
}

/** The batch that a test's event speaks of: there is none of that id. */
export const SAMPLE_BATCH_ID = `batch_${"0".repeat(32)}`;
