import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import type { TaskHistory } from "../batch/store/history.ts";
import { batchStub } from "../stubs.ts";
import { attempt, type TaskObject, taskObject } from "../wire/task.ts";
import type { AppEnv } from "./auth.ts";
import { findBatch, refused } from "./batches.ts";
import { onBatches, refusal, refusals } from "./openapi.ts";

/** GET /v1/batches/{id}/tasks/{custom_id}: what happened to one task. */
export function addTaskRoutes(app: OpenAPIHono<AppEnv>): void {
  const route = createRoute({
    method: "get",
    path: "/v1/batches/{id}/tasks/{custom_id}",
    operationId: "retrieveTask",
    summary: "See what happened to a task: each attempt, and when it is tried next",
    ...onBatches,
    request: { params: z.object({ id: z.string(), custom_id: z.string() }) },
    responses: {
      200: { description: "The task.", content: { "application/json": { schema: taskObject } } },
      404: refusal("No such batch, or no such task in it."),
      ...refusals,
    },
  });
  app.openapi(route, async (c) => {
    const { id, custom_id } = c.req.valid("param");
    const project = c.get("project");
    const found = await findBatch(c.env, project, id);
    if (!found.ok) return refused(c, found.problem);
    const task = await batchStub(c.env, { project, batch_id: id }).task(custom_id);
    return task.ok ? c.json(viewOf(id, task.value), 200) : refused(c, task.problem);
  });
}

const iso = (ms: number) => new Date(ms).toISOString();

function viewOf(batchId: string, task: TaskHistory): TaskObject {
  return {
    task_id: task.custom_id,
    object: "batch.task",
    batch_id: batchId,
    index: task.seq,
    state: task.state,
    attempts: task.attempts.map((one) => ({
      attempt: one.attempt,
      started_at: iso(one.started_at),
      ended_at: one.ended_at === null ? null : iso(one.ended_at),
      latency_ms: one.took_ms,
      result: attempt.shape.result.parse(one.verdict),
      status_code: one.status_code,
      error: one.error,
    })),
    next_attempt_at: task.state === "pending" && task.not_before > 0 ? iso(task.not_before) : null,
  };
}
