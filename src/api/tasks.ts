import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import type { TaskHistory } from "../batch/store/history.ts";
import type { ListedTask } from "../batch/store/task-list.ts";
import { readContent } from "../core/content.ts";
import { errorMessage } from "../core/outcome.ts";
import { readPrompt } from "../core/prompt.ts";
import { TASK_STATES } from "../core/task.ts";
import { batchStub } from "../stubs.ts";
import { outputLine } from "../wire/results.ts";
import { attempt, type TaskObject, type TaskSummary, taskList, taskObject } from "../wire/task.ts";
import { wholeInText } from "../wire/whole.ts";
import type { AppEnv } from "./auth.ts";
import { findBatch, idParams, refused } from "./batches.ts";
import { onBatches, refusal, refusals } from "./openapi.ts";

/** Higher than any: a file of 200 MiB has no such many lines. */
const MAX_INDEX = 1_000_000_000;

/** GET /v1/batches/{id}/tasks, GET /v1/batches/{id}/tasks/{custom_id}. */
export function addTaskRoutes(app: OpenAPIHono<AppEnv>): void {
  const list = createRoute({
    method: "get",
    path: "/v1/batches/{id}/tasks",
    operationId: "listTasks",
    summary: "List tasks in input order, with the beginnings of prompts and answers",
    ...onBatches,
    request: {
      params: idParams,
      query: z.object({
        state: z.enum(TASK_STATES).optional(),
        search: z.string().min(1).max(200).optional().meta({
          description: "A part of the task_id, the request's JSON or the output line.",
        }),
        after: wholeInText(-1, MAX_INDEX).default(-1).meta({ description: "An index." }),
        limit: wholeInText(1, 200).default(50),
      }),
    },
    responses: {
      200: { description: "Tasks.", content: { "application/json": { schema: taskList } } },
      404: refusal("No such batch."),
      ...refusals,
    },
  });
  app.openapi(list, async (c) => {
    const { id } = c.req.valid("param");
    const { after, ...query } = c.req.valid("query");
    const project = c.get("project");
    const found = await findBatch(c.env, project, id);
    if (!found.ok) return refused(c, found.problem);
    const asked = { limit: query.limit, state: query.state, search: query.search };
    const page = await batchStub(c.env, { project, batch_id: id }).tasks({
      ...asked,
      afterSeq: after,
    });
    const data = page.rows.map((row) => summaryOf(found.value.endpoint, row));
    return c.json({ object: "list" as const, data, next_after: page.nextAfter }, 200);
  });

  const route = createRoute({
    method: "get",
    path: "/v1/batches/{id}/tasks/{custom_id}",
    operationId: "retrieveTask",
    summary: "See what happened to a task: each attempt, and when it is tried next",
    ...onBatches,
    request: { params: idParams.extend({ custom_id: z.string() }) },
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
    if (!task.ok) return refused(c, task.problem);
    const { body, line } = task.value;
    // The request and the output line go in as the text they are: numbers past 2^53 survive.
    const view = JSON.stringify(viewOf(id, task.value)).slice(0, -1);
    const text = `${view},"request":${body ?? "null"},"outcome":${line ?? "null"}}`;
    return c.body(text, 200, { "content-type": "application/json" }) as never;
  });
}

/** Characters of a prompt or an answer in a list. */
const PREVIEW = 500;

function summaryOf(endpoint: string, row: ListedTask): TaskSummary {
  const answer = row.line === null ? undefined : outputLine.parse(JSON.parse(row.line));
  const status = answer?.response?.status_code ?? null;
  const content = answer?.response == null ? null : readContent(endpoint, answer.response.body);
  const refused = status !== null && status >= 300;
  return {
    task_id: row.custom_id,
    index: row.seq,
    state: row.state,
    attempts: row.attempt,
    next_attempt_at: row.state === "pending" && row.not_before > 0 ? iso(row.not_before) : null,
    latency_ms: row.took_ms,
    status_code: status,
    prompt: row.body === null ? null : preview(readPrompt(endpoint, JSON.parse(row.body))),
    content: refused ? null : preview(content),
    error: refused
      ? (errorMessage(answer?.response?.body) ?? `The upstream answered ${status}.`)
      : (answer?.error?.message ?? null),
    retry: row.retry === null ? null : row.retry === 1,
  };
}

function preview(content: unknown): string | null {
  if (content === undefined || content === null) return null;
  const text = typeof content === "string" ? content : JSON.stringify(content);
  // By code points: half an emoji is no text.
  return text.length <= PREVIEW
    ? text
    : `${[...text.slice(0, 2 * PREVIEW)].slice(0, PREVIEW).join("")}…`;
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
      upstream: one.upstream,
    })),
    next_attempt_at: task.state === "pending" && task.not_before > 0 ? iso(task.not_before) : null,
    same_as: task.same_as,
  };
}
