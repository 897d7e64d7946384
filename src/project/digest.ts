import type { TaskState } from "../core/task.ts";
import type { BatchStatus, Endpoint } from "../wire/batch.ts";

/**
 * What a batch tells its project of itself: what lists filter by, quotas count and metrics sum, so
 * that none of them has to ask every batch.
 */
export type Digest = {
  status: BatchStatus;
  endpoint: Endpoint;
  model: string | null;
  /** JSON, as the client sent it. */
  metadata: string | null;
  input_tokens: number;
  output_tokens: number;
  /** Of both output files. */
  bytes: number;
  /** When it was true, by the batch's clock. An older one never replaces a newer. */
  noted_at: number;
} & Record<TaskState, number>;
