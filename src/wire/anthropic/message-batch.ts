import { z } from "zod";
import type { BatchObject, BatchStatus } from "../batch.ts";
import { messageBatchId } from "../ids.ts";

/** Batches of messages as Anthropic's clients see them. Times are RFC 3339. */

const time = z.string().meta({ format: "date-time" });
const count = z.number().int();

export const messageBatch = z
  .object({
    id: z.string(),
    type: z.literal("message_batch"),
    processing_status: z.enum(["in_progress", "canceling", "ended"]),
    request_counts: z
      .object({
        processing: count,
        succeeded: count,
        errored: count,
        canceled: count,
        expired: count,
      })
      .meta({ description: "All but `processing` stay 0 until processing ends." }),
    created_at: time,
    expires_at: time,
    ended_at: time.nullable(),
    cancel_initiated_at: time.nullable(),
    archived_at: time.nullable().meta({
      description:
        "When results were deleted before their batch: a file of theirs was deleted, or expired.",
    }),
    results_url: z.string().nullable().meta({
      description: "Absolute; null until the end, and once results were deleted.",
    }),
    muster: z
      .object({ webhook: z.object({ url: z.string(), secret: z.string() }) })
      .optional()
      .meta({
        description: "Only in the answer to a creation that made a secret for the batch's webhook.",
      }),
  })
  .meta({ id: "MessageBatch" });
export type MessageBatch = z.infer<typeof messageBatch>;

export const messageBatchList = z
  .object({
    data: z.array(messageBatch),
    has_more: z.boolean(),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
  })
  .meta({ id: "MessageBatchList" });

export const messageBatchDeleted = z
  .object({ id: z.string(), type: z.literal("message_batch_deleted") })
  .meta({ id: "MessageBatchDeleted" });

/**
 * A batch as a batch of messages.
 *
 * @param origin where the door is reached, for `results_url`: clients fetch it as it stands.
 */
export function messageBatchOf(batch: BatchObject, origin: string): MessageBatch {
  const id = messageBatchId(batch.id);
  const status = processingStatus(batch.status);
  const ended = status === "ended";
  const endedAt = batch.completed_at ?? batch.expired_at ?? batch.cancelled_at ?? batch.failed_at;
  const { counts, webhook, results_deleted_at: deletedAt } = batch.muster;
  const { succeeded, failed, cancelled, expired } = counts;
  return {
    id,
    type: "message_batch",
    processing_status: status,
    request_counts: ended
      ? { processing: 0, succeeded, errored: failed, canceled: cancelled, expired }
      : {
          processing: batch.request_counts.total,
          succeeded: 0,
          errored: 0,
          canceled: 0,
          expired: 0,
        },
    created_at: rfc3339(batch.created_at),
    expires_at: rfc3339(batch.expires_at ?? batch.created_at),
    ended_at: ended && endedAt !== null ? rfc3339(endedAt) : null,
    cancel_initiated_at: batch.cancelling_at === null ? null : rfc3339(batch.cancelling_at),
    archived_at: deletedAt === null ? null : rfc3339(deletedAt),
    results_url: ended && deletedAt === null ? `${origin}/v1/messages/batches/${id}/results` : null,
    // Anthropic's object has no place for it, and it is told nowhere else.
    ...(webhook?.secret !== undefined && {
      muster: { webhook: { url: webhook.url, secret: webhook.secret } },
    }),
  };
}

function processingStatus(status: BatchStatus): MessageBatch["processing_status"] {
  switch (status) {
    case "validating":
    case "in_progress":
    case "finalizing":
      return "in_progress";
    case "cancelling":
      return "canceling";
    case "completed":
    case "expired":
    case "cancelled":
    case "failed":
      return "ended";
  }
}

function rfc3339(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
