import { describe, expect, it } from "vitest";
import type { TimelineObject } from "../../src/wire/task.ts";
import { call, ended, open, unique } from "../support/worker/client.ts";

async function timelineOf(id: string, query = ""): Promise<TimelineObject> {
  const response = await call(`/v1/batches/${id}/timeline${query}`);
  expect(response.status).toBe(200);
  return response.json();
}

/** Everything a timeline tells, in sums. */
function sums({ data }: TimelineObject) {
  const sum = (of: (step: (typeof data)[number]) => number) =>
    data.reduce((total, step) => total + of(step), 0);
  return {
    succeeded: sum((step) => step.succeeded),
    failed: sum((step) => step.failed),
    throttled: sum((step) => step.throttled),
    retried: sum((step) => step.retried),
    calls: sum((step) => step.latency_ms.reduce((total, [, calls]) => total + calls, 0)),
  };
}

describe("GET /v1/batches/{id}/timeline", () => {
  it("counts every call once: outcomes, 429s and other retries", async () => {
    const prompts = ["a", "b", "[400]", "[503 first]", "[429 first]"].map((text) => unique(text));
    const { id } = await open({ model: "m", prompts });
    await ended(id);
    const whole = await timelineOf(id);
    expect(whole.has_more).toBe(false);
    expect(sums(whole)).toEqual({ succeeded: 4, failed: 1, throttled: 1, retried: 1, calls: 7 });
    const times = whole.data.map(({ at }) => at);
    expect(times).toEqual(times.toSorted());
    expect(times.every((at) => Date.parse(at) % whole.step_ms === 0)).toBe(true);
  });

  it("goes on where an earlier answer stopped, and tells nothing twice", async () => {
    const { id } = await open({ model: "m", prompts: [unique("a"), unique("[503 first]")] });
    await ended(id);
    const { next_after } = await timelineOf(id);
    const rest = await timelineOf(id, `?after=${next_after}`);
    expect(rest).toMatchObject({ data: [], next_after, has_more: false });
  });

  it("steps as wide as it was asked", async () => {
    const { id } = await open({ model: "m", prompts: [unique("a")] });
    await ended(id);
    const { data, step_ms } = await timelineOf(id, "?step_ms=60000");
    expect(step_ms).toBe(60_000);
    expect(data).toHaveLength(1);
    expect(Date.parse(data[0]?.at ?? "") % 60_000).toBe(0);
  });

  it("refuses a cursor that it never gave", async () => {
    const { id } = await open({ model: "m", prompts: [unique("a")] });
    expect((await call(`/v1/batches/${id}/timeline?after=x`)).status).toBe(400);
    expect((await call(`/v1/batches/${id}/timeline?step_ms=1`)).status).toBe(400);
  });
});
