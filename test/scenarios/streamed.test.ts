import { expect, it } from "vitest";
import { promptDigest } from "../../src/simulator/index.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import { startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";

/** `UPSTREAM_STREAM_CHAT=1`, as its user has it, with an upstream whose streams break in every way. */

const TASKS = 300;

it("streams every call and loses none, whatever becomes of the streams", async () => {
  const muster = await startTestMuster(
    {
      latency: { kind: "lognormal", medianMs: 300, sigma: 0.3, maxMs: 900 },
      faults: [
        { kind: "truncated", chunked: true, rate: 0.05 },
        { kind: "stream_error", rate: 0.05 },
        { kind: "hang_body", rate: 0.02 },
        { kind: "status", code: 500, rate: 0.03 },
      ],
    },
    {
      UPSTREAM_STREAM_CHAT: "1",
      UPSTREAM_IDLE_TIMEOUT_MS: "1500",
      UPSTREAM_MAX_CONCURRENCY: "30",
      // What a deployed consumer has: its connections are a fifth of its streamed calls.
      CONSUMER_LANES: "6",
      CONSUMER_STREAM_LANES: "30",
      RETRY_BASE_MS: "50",
    },
  );
  try {
    const prompts = Array.from({ length: TASKS }, (_, index) => `streamed question ${index}`);
    const opened = await muster.post("/batches", { model: "m", prompts, n: 2 });
    const { id } = (await opened.json()) as BatchObject;
    const end = await until(
      async () => (await (await muster.get(`/batches/${id}`)).json()) as BatchObject,
      ({ status }) => status === "completed",
      120_000,
    );
    expect(end.request_counts).toEqual({ total: TASKS, completed: TASKS, failed: 0 });
    // Told in the stream's last event.
    expect(end.usage.total_tokens).toBeGreaterThan(TASKS);
    const response = await muster.get(`/batches/${id}/results`, { accept: "application/jsonl" });
    const lines = (await response.text()).trimEnd().split("\n");
    expect(lines).toHaveLength(TASKS);
    for (const [index, line] of lines.entries()) {
      const body = { messages: [{ role: "user", content: prompts[index] }] };
      const { response: answer } = JSON.parse(line);
      expect(answer.body).toMatchObject({ object: "chat.completion", usage: {} });
      expect(answer.body.choices).toHaveLength(2);
      for (const { message, finish_reason } of answer.body.choices) {
        expect(message.content).toContain(`digest:${promptDigest("/v1/chat/completions", body)}`);
        expect(finish_reason).toBe("stop");
      }
    }
    const { byStatus, mostInFlight } = muster.simulator.stats();
    expect(byStatus).toMatchObject({
      truncated: expect.any(Number),
      stream_error: expect.any(Number),
      hang_body: expect.any(Number),
    });
    expect(mostInFlight).toBeLessThanOrEqual(30);
    // More than connections.
    expect(mostInFlight).toBeGreaterThan(12);
  } finally {
    await muster.stop();
  }
});
