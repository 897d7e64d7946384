import { beforeAll, describe, expect, it } from "vitest";
import type { TaskList } from "../../src/wire/task.ts";
import { call, ended, OTHER_KEY, open, unique } from "../support/worker/client.ts";

async function tasksOf(id: string, query = ""): Promise<TaskList> {
  const response = await call(`/v1/batches/${id}/tasks${query}`);
  expect(response.status).toBe(200);
  return response.json();
}

describe("GET /v1/batches/{id}/tasks", () => {
  const prompts = [
    unique("空はなぜ青い？ 🌊"),
    unique("[400] <img src=x onerror=alert(1)>"),
    unique("[503 first]"),
    unique("long ".repeat(400)),
    unique("last"),
  ];
  let id = "";

  beforeAll(async () => {
    id = (await open({ model: "m", prompts })).id;
    await ended(id);
  });

  it("tells how each task stands, with the beginnings of prompt and answer", async () => {
    const { data, next_after } = await tasksOf(id);
    expect(next_after).toBeNull();
    expect(data.map((task) => task.task_id)).toEqual(prompts.map((_, n) => `task-${n}`));
    const [good, bad, retried, long] = data;
    expect(good).toMatchObject({
      ...{ index: 0, state: "succeeded", attempts: 1, next_attempt_at: null },
      ...{ status_code: 200, prompt: prompts[0], error: null, retry: false },
      latency_ms: expect.any(Number),
    });
    expect(good?.content).toMatch(/^digest:/);
    expect(bad).toMatchObject({ state: "failed", status_code: 400, content: null, retry: false });
    expect(bad?.prompt).toBe(prompts[1]);
    expect(bad?.error).toEqual(expect.any(String));
    expect(retried).toMatchObject({ state: "succeeded", attempts: 2 });
    expect(long?.prompt).toHaveLength(501);
    expect(long?.prompt?.endsWith("…")).toBe(true);
  });

  it("filters by state, and by a part of the id, the request or the answer", async () => {
    const only = async (query: string) =>
      (await tasksOf(id, query)).data.map((task) => task.task_id);
    expect(await only("?state=failed")).toEqual(["task-1"]);
    expect(await only(`?search=${encodeURIComponent("🌊")}`)).toEqual(["task-0"]);
    expect(await only("?search=task-4")).toEqual(["task-4"]);
    expect(await only("?state=failed&search=task-4")).toEqual([]);
  });

  it.each([1, 2, 5, 200])("walks every task once, %d at a time", async (limit) => {
    const walked: string[] = [];
    let after: number | null = -1;
    while (after !== null) {
      const page: TaskList = await tasksOf(id, `?limit=${limit}&after=${after}`);
      walked.push(...page.data.map((task) => task.task_id));
      after = page.next_after;
    }
    expect(walked).toEqual(prompts.map((_, n) => `task-${n}`));
  });

  it("refuses what is no state, and hides other projects' batches", async () => {
    expect((await call(`/v1/batches/${id}/tasks?state=done`)).status).toBe(400);
    expect((await call(`/v1/batches/${id}/tasks?limit=201`)).status).toBe(400);
    expect((await call(`/v1/batches/${id}/tasks`, {}, OTHER_KEY)).status).toBe(404);
    expect((await call(`/v1/batches/${id}/timeline`, {}, OTHER_KEY)).status).toBe(404);
  });
});
