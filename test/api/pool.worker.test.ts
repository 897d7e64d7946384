import { describe, expect, it } from "vitest";
import { call, ended, errorOf, look, open, patch, post, unique } from "../support/worker/client.ts";

describe("a batch's pool", () => {
  it("is off unless it is asked for", async () => {
    const { muster } = await open({ model: "m", prompts: [unique("a")] });
    expect(muster.pool).toBe(false);
  });

  it("is shown, and changed while the batch runs; null is false", async () => {
    const { id, muster } = await open({
      model: "m",
      prompts: [unique("[hang first]")],
      pool: true,
    });
    expect(muster.pool).toBe(true);
    expect((await (await patch(id, { pool: false })).json()) as unknown).toMatchObject({
      muster: { pool: false },
    });
    await patch(id, { pool: true });
    await patch(id, { priority: 20 });
    expect((await look(id)).muster).toMatchObject({ pool: true, priority: 20 });
    await patch(id, { pool: null });
    expect((await look(id)).muster.pool).toBe(false);
    expect((await ended(id)).request_counts.completed).toBe(1);
  });

  it("of a batch that has ended stays as it is", async () => {
    const { id } = await open({ model: "m", prompts: [unique("a")] });
    await ended(id);
    const refused = await patch(id, { pool: true });
    expect(refused.status).toBe(400);
    expect(await errorOf(refused)).toMatchObject({ param: "pool", code: "batch_not_changeable" });
  });

  it.each(["yes", 1, null])("that is %j is refused with its name", async (pool) => {
    const refused = await post("/v1/batches", { model: "m", prompts: ["a"], pool });
    expect(refused.status).toBe(400);
    expect((await errorOf(refused)).param).toBe("pool");
  });

  it("stands beside Anthropic's requests, too", async () => {
    const params = {
      model: "m",
      max_tokens: 5,
      messages: [{ role: "user", content: unique("a") }],
    };
    const made = await post("/v1/messages/batches", {
      requests: [{ custom_id: "a", params }],
      pool: true,
    });
    expect(made.status).toBe(200);
    const { id } = (await made.json()) as { id: string };
    expect((await look(id)).muster.pool).toBe(true);
  });

  it("does nothing where one upstream serves the batch, and each attempt names it", async () => {
    const { id } = await open({ model: "m", prompts: [unique("a")], pool: true });
    expect((await ended(id)).request_counts.completed).toBe(1);
    const task = await (await call(`/v1/batches/${id}/tasks/task-0`)).json();
    expect(task).toMatchObject({ attempts: [{ upstream: "default", result: "succeeded" }] });
  });
});
