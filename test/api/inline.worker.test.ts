import { describe, expect, it } from "vitest";
import { ended, open, outputLines, post, results, unique } from "../support/worker/client.ts";

describe("a batch with inline tasks", () => {
  it("answers 202 with Location and the batch, and musters every result in input order", async () => {
    const prompts = Array.from({ length: 40 }, (_, i) => unique(`question ${i} 質問 🙂`));
    const response = await post("/v1/batches", { model: "m", prompts, max_tokens: 30 });
    expect(response.status).toBe(202);
    const batch: { id: string } = await response.json();
    expect(response.headers.get("location")).toBe(`/v1/batches/${batch.id}`);

    const end = await ended(batch.id);
    expect(end).toMatchObject({
      status: "completed",
      model: "m",
      request_counts: { total: 40, completed: 40, failed: 0 },
    });
    expect(end.usage.total_tokens).toBeGreaterThan(0);
    const summary = await results(batch.id);
    expect(summary).toMatchObject({ total: 40, success_count: 40, error_count: 0, errors: [] });
    expect(summary.success.map(({ task_id }) => task_id)).toEqual(
      prompts.map((_, i) => `task-${i}`),
    );
  });

  it("keeps custom_ids, and takes bodies of any supported endpoint", async () => {
    const batch = await open({
      endpoint: "/v1/embeddings",
      requests: [
        { custom_id: "甲", body: { model: "e", input: unique("one") } },
        { custom_id: "__proto__", body: { model: "e", input: unique("two") } },
      ],
    });
    await ended(batch.id);
    const lines = await outputLines(batch.id);
    expect(lines.map(({ custom_id }) => custom_id)).toEqual(["甲", "__proto__"]);
    expect((await results(batch.id)).success[0]?.content).toBeInstanceOf(Array);
  });
});
