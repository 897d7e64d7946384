import { describe, expect, test } from "vitest";
import { messageBatch, messageBatchOf } from "../../../src/wire/anthropic/message-batch.ts";
import type { BatchObject, BatchStatus } from "../../../src/wire/batch.ts";
import { batchIdOf, messageBatchId, newBatchId } from "../../../src/wire/ids.ts";

const AT_S = 1_795_305_600;

function batch(
  status: BatchStatus,
  change: Partial<BatchObject> = {},
  deletedAt: number | null = null,
): BatchObject {
  const none = { completed_at: null, failed_at: null, expired_at: null, cancelled_at: null };
  return {
    id: "batch_0123456789abcdef0123456789abcdef",
    status,
    created_at: AT_S,
    expires_at: AT_S + 86_400,
    cancelling_at: null,
    ...none,
    request_counts: { total: 10, completed: 4, failed: 3 },
    muster: {
      counts: { succeeded: 4, failed: 3, cancelled: 2, expired: 1 },
      results_deleted_at: deletedAt,
    },
    ...change,
  } as BatchObject;
}

const viewOf = (...args: Parameters<typeof batch>) =>
  messageBatch.parse(messageBatchOf(batch(...args), "https://muster.example"));

describe("a batch of messages", () => {
  test.each(["validating", "in_progress", "finalizing"] as const)(
    "that is %s is in_progress, and counts nothing but what it processes",
    (status) => {
      expect(viewOf(status)).toEqual({
        id: "msgbatch_0123456789abcdef0123456789abcdef",
        type: "message_batch",
        processing_status: "in_progress",
        request_counts: { processing: 10, succeeded: 0, errored: 0, canceled: 0, expired: 0 },
        created_at: "2026-11-22T00:00:00.000Z",
        expires_at: "2026-11-23T00:00:00.000Z",
        ended_at: null,
        cancel_initiated_at: null,
        archived_at: null,
        results_url: null,
      });
    },
  );

  test("that is cancelling says since when, and still counts nothing else", () => {
    expect(viewOf("cancelling", { cancelling_at: AT_S + 5 })).toMatchObject({
      processing_status: "canceling",
      cancel_initiated_at: "2026-11-22T00:00:05.000Z",
      request_counts: { processing: 10, succeeded: 0 },
      ended_at: null,
    });
  });

  test.each(["completed", "expired", "cancelled", "failed"] as const)(
    "that is %s has ended, with its counts and an absolute results_url",
    (status) => {
      expect(viewOf(status, { [`${status}_at`]: AT_S + 60 })).toMatchObject({
        processing_status: "ended",
        request_counts: { processing: 0, succeeded: 4, errored: 3, canceled: 2, expired: 1 },
        ended_at: "2026-11-22T00:01:00.000Z",
        archived_at: null,
        results_url:
          "https://muster.example/v1/messages/batches/msgbatch_0123456789abcdef0123456789abcdef/results",
      });
    },
  );

  test("whose results were deleted says when, and where they were no more", () => {
    expect(viewOf("completed", { completed_at: AT_S + 60 }, AT_S + 90)).toMatchObject({
      processing_status: "ended",
      request_counts: { processing: 0, succeeded: 4, errored: 3, canceled: 2, expired: 1 },
      archived_at: "2026-11-22T00:01:30.000Z",
      results_url: null,
    });
  });
});

test("a batch has two names, and each leads to its id", () => {
  const id = newBatchId();
  expect(messageBatchId(id)).toMatch(/^msgbatch_[0-9a-f]{32}$/);
  expect(batchIdOf(messageBatchId(id))).toBe(id);
  for (const text of [id, "msgbatch_1", "", "msgbatch_", `x${messageBatchId(id)}`]) {
    expect(batchIdOf(text)).toBe(text);
  }
});
