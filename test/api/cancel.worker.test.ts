import { describe, expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import {
  bodyOf,
  call,
  ended,
  errorOf,
  linesOf,
  look,
  open,
  outputLines,
  results,
  unique,
  until,
} from "../support/worker/client.ts";

function cancel(id: string): Promise<Response> {
  return call(`/v1/batches/${id}/cancel`, { method: "POST" });
}

/** Opens a batch whose tasks run one after the other, and waits until some are done. */
async function underWay(tasks: number): Promise<BatchObject> {
  const prompts = Array.from({ length: tasks }, (_, n) => unique(`question ${n}`));
  const { id } = await open({ model: "m", prompts, max_concurrency: 1 });
  return until(
    () => look(id),
    ({ muster }) => muster.counts.succeeded >= 5,
  );
}

describe("cancelling a batch that runs", () => {
  it("keeps what is finished, cancels the rest, and the counts add up", async () => {
    const tasks = 1_000;
    const seen = await underWay(tasks);
    const response = await cancel(seen.id);
    expect(response.status).toBe(200);
    const answer: BatchObject = await response.json();
    expect(answer).toMatchObject({ id: seen.id, status: expect.stringMatching(/^cancell/) });
    expect(answer.cancelling_at).toEqual(expect.any(Number));

    const end = await ended(seen.id);
    const { counts } = end.muster;
    expect(end).toMatchObject({ status: "cancelled", completed_at: null });
    expect(end.cancelled_at).toBeGreaterThanOrEqual(end.cancelling_at ?? Number.NaN);
    expect(counts).toMatchObject({ pending: 0, running: 0, failed: 0, expired: 0 });
    expect(counts.succeeded).toBeGreaterThanOrEqual(seen.muster.counts.succeeded);
    expect(counts.cancelled).toBeGreaterThan(0);
    expect(counts.succeeded + counts.cancelled).toBe(tasks);
    expect(end.request_counts).toMatchObject({ total: tasks, completed: counts.succeeded });

    const lines = await outputLines(end.id);
    expect(lines.map(({ custom_id }) => custom_id)).toEqual(
      Array.from({ length: tasks }, (_, n) => `task-${n}`),
    );
    const output = await bodyOf(await call(`/v1/files/${end.output_file_id}/content`));
    expect(linesOf(output.text).length).toBe(counts.succeeded);
    const errors = linesOf(
      (await bodyOf(await call(`/v1/files/${end.error_file_id}/content`))).text,
    );
    expect(errors.length).toBe(counts.cancelled);
    for (const line of errors) {
      expect(line).toMatchObject({ response: null, error: { code: "batch_cancelled" } });
    }
    const summary = await results(end.id);
    expect(summary.errors.every(({ retry }) => retry)).toBe(true);
  });

  it("stops at once when nothing is finished, and names no output file", async () => {
    const prompts = Array.from({ length: 60 }, () => unique("[hang always]"));
    const { id } = await open({ model: "m", prompts });
    await cancel(id);
    const end = await ended(id);
    expect(end.status).toBe("cancelled");
    expect(end.output_file_id).toBeNull();
    expect(end.error_file_id).not.toBeNull();
    const { succeeded, failed, cancelled, expired } = end.muster.counts;
    expect(succeeded + failed + cancelled + expired).toBe(60);
    expect((await results(id)).error_count).toBe(60);
  });
});

describe("cancelling twice", () => {
  it("is the same as once, while it cancels and after", async () => {
    const { id } = await underWay(500);
    const [first, second] = await Promise.all([cancel(id), cancel(id)]);
    expect([first.status, second.status]).toEqual([200, 200]);
    const end = await ended(id);
    const third = await cancel(id);
    expect(third.status).toBe(200);
    expect(await third.json()).toEqual(end);
    expect(await look(id)).toEqual(end);
  });
});

describe("cancelling what cannot be cancelled", () => {
  it("is a 400 once the batch is completed, which stays as it is", async () => {
    const { id } = await open({ model: "m", prompts: [unique("one")] });
    const end = await ended(id);
    const response = await cancel(id);
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    expect(error).toMatchObject({
      type: "invalid_request_error",
      param: "id",
      code: "batch_not_cancellable",
    });
    expect(error.message).toContain("completed");
    expect(await look(id)).toEqual(end);
  });

  it("is a 404 for an unknown id", async () => {
    const id = "batch_0190b0c0000070008000000000000000";
    const response = await cancel(id);
    expect(response.status).toBe(404);
    expect(await errorOf(response)).toMatchObject({ code: "not_found", param: "id" });
    expect((await call(`/v1/batches/${id}`)).status).toBe(404);
  });
});
