import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import type { OutcomeRow } from "../../batch/store/outcomes.ts";
import { batchStub, projectStub } from "../../stubs.ts";
import {
  messageBatch,
  messageBatchDeleted,
  messageBatchList,
  messageBatchOf,
} from "../../wire/anthropic/message-batch.ts";
import { resultLine, resultLineOf } from "../../wire/anthropic/result-line.ts";
import { type BatchObject, hasEnded } from "../../wire/batch.ts";
import { noSuch, ok, type Result, refuse } from "../../wire/errors.ts";
import { batchIdOf, messageBatchId } from "../../wire/ids.ts";
import type { BatchRef } from "../../wire/messages.ts";
import { wholeInText } from "../../wire/whole.ts";
import type { AppEnv } from "../auth.ts";
import { findBatch, refused } from "../batches.ts";
import { fullPage } from "../full-page.ts";
import { addSchema, jsonLines } from "../openapi.ts";
import { allPages, streamOf } from "../results.ts";
import {
  anthropicRefusal,
  anthropicRefusals,
  messageHeaders,
  onMessageBatches,
} from "./openapi.ts";

const JSONL = "application/x-jsonl";

/** GET, DELETE and POST …/cancel of /v1/messages/batches. */
export function addMessageBatchRoutes(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "xApiKey", {
    type: "apiKey",
    in: "header",
    name: "x-api-key",
    description: "The same key, as Anthropic's clients send it; for message batches only.",
  });
  addSchema(app, "MessageBatchResult", resultLine);
  const one = {
    description: "The batch.",
    content: { "application/json": { schema: messageBatch } },
  };
  const none = anthropicRefusal("No such batch of messages.");
  const common = {
    ...onMessageBatches,
    request: { params: z.object({ id: z.string() }), headers: messageHeaders },
  };

  const list = createRoute({
    method: "get",
    path: "/v1/messages/batches",
    operationId: "listMessageBatches",
    summary: "List batches of messages, the newest first",
    ...onMessageBatches,
    request: {
      headers: messageHeaders,
      query: z.object({
        after_id: z.string().optional().meta({ description: "The page behind this batch." }),
        before_id: z.string().optional().meta({ description: "The page before this batch." }),
        limit: wholeInText(1, 1000).default(20),
      }),
    },
    responses: {
      200: {
        description: "A page of batches.",
        content: { "application/json": { schema: messageBatchList } },
      },
      ...anthropicRefusals,
    },
  });
  app.openapi(list, async (c) => {
    const { after_id, before_id, limit } = c.req.valid("query");
    if (after_id !== undefined && before_id !== undefined) {
      return refused(
        c,
        refuse("invalid_request", "before_id: takes no value beside after_id.").problem,
      );
    }
    const project = c.get("project");
    const { origin } = new URL(c.req.url);
    const index = projectStub(c.env, project);
    const back = before_id !== undefined;
    const name = back ? "before_id" : "after_id";
    const given = before_id ?? after_id;
    const page = await fullPage(
      limit,
      async (behind, count) => {
        const ids = await index.listBatchesOf({
          endpoint: "/v1/messages",
          ...{ older: undefined, newer: undefined },
          [back ? "newer" : "older"]: behind ?? (given && batchIdOf(given)),
          limit: count,
        });
        // The other way from a batch, the next one is the nearest to it.
        return ids.ok && back ? ok({ ...ids.value, data: ids.value.data.toReversed() }) : ids;
      },
      async (id) => {
        const found = await findBatch(c.env, project, id);
        return found.ok ? messageBatchOf(found.value, origin) : undefined;
      },
    );
    if (!page.ok) {
      return refused(c, refuse("invalid_request", `${name}: ${page.problem.message}`).problem);
    }
    const { lastId, hasMore } = page.value;
    const data = back ? page.value.data.toReversed() : page.value.data;
    // With nothing to list there may still be more beyond the page.
    const beyond = hasMore && lastId !== undefined ? messageBatchId(lastId) : null;
    return c.json(
      {
        data,
        has_more: hasMore,
        first_id: data[0]?.id ?? beyond,
        last_id: data.at(-1)?.id ?? beyond,
      },
      200,
    );
  });

  const retrieve = createRoute({
    method: "get",
    path: "/v1/messages/batches/{id}",
    operationId: "retrieveMessageBatch",
    summary: "Look at a batch of messages",
    ...common,
    responses: { 200: one, 404: none, ...anthropicRefusals },
  });
  app.openapi(retrieve, async (c) => {
    const found = await find(c.env, c.get("project"), c.req.valid("param").id);
    if (!found.ok) return refused(c, found.problem);
    return c.json(messageBatchOf(found.value.batch, new URL(c.req.url).origin), 200);
  });

  const cancel = createRoute({
    method: "post",
    path: "/v1/messages/batches/{id}/cancel",
    operationId: "cancelMessageBatch",
    summary: "Cancel a batch of messages; calls in flight finish, finished work is kept",
    ...common,
    responses: { 200: one, 404: none, ...anthropicRefusals },
  });
  app.openapi(cancel, async (c) => {
    const { id } = c.req.valid("param");
    const found = await find(c.env, c.get("project"), id);
    if (!found.ok) return refused(c, found.problem);
    const cancelled = await batchStub(c.env, found.value.ref).cancel();
    if (!cancelled.ok) {
      const message = `Batch ${id} cannot be canceled: its processing has ended.`;
      return refused(c, refuse("invalid_request", message).problem);
    }
    return c.json(messageBatchOf(cancelled.value, new URL(c.req.url).origin), 200);
  });

  const remove = createRoute({
    method: "delete",
    path: "/v1/messages/batches/{id}",
    operationId: "deleteMessageBatch",
    summary: "Delete a batch of messages that has ended, with its results",
    ...common,
    responses: {
      200: {
        description: "It is gone.",
        content: { "application/json": { schema: messageBatchDeleted } },
      },
      404: none,
      ...anthropicRefusals,
    },
  });
  app.openapi(remove, async (c) => {
    const { id } = c.req.valid("param");
    const found = await find(c.env, c.get("project"), id);
    if (!found.ok) return refused(c, found.problem);
    const removed = await batchStub(c.env, found.value.ref).remove();
    if (!removed.ok) {
      const message = `Batch ${id} cannot be deleted: it is still processing. Cancel it first.`;
      return refused(c, refuse("invalid_request", message).problem);
    }
    const type = "message_batch_deleted" as const;
    return c.json({ id: messageBatchId(found.value.ref.batch_id), type }, 200);
  });

  const results = createRoute({
    method: "get",
    path: "/v1/messages/batches/{id}/results",
    operationId: "messageBatchResults",
    summary: "Read the results of a batch of messages that has ended, in input order",
    ...common,
    responses: {
      200: {
        description: "One line a request, as a stream.",
        content: { [JSONL]: { schema: jsonLines("MessageBatchResult") } },
      },
      404: anthropicRefusal("No such batch of messages, no results of it yet, or none any more."),
      ...anthropicRefusals,
    },
  });
  app.openapi(results, async (c) => {
    const { id } = c.req.valid("param");
    const found = await find(c.env, c.get("project"), id);
    if (!found.ok) return refused(c, found.problem);
    if (!hasEnded(found.value.batch.status)) {
      const message = `Batch ${id} has no results yet: its processing has not ended. Its results_url is set once it has.`;
      return refused(c, refuse("not_found", message).problem);
    }
    const pages = await allPages(c.env, found.value.ref, "all");
    if (!pages.ok) return refused(c, pages.problem);
    const lines = resultLines(pages.value);
    return c.body(streamOf(lines), 200, { "content-type": JSONL }) as never;
  });
}

/** A batch of messages by either of its names. A batch of anything else is none. */
async function find(
  env: Env,
  project: string,
  name: string,
): Promise<Result<{ batch: BatchObject; ref: BatchRef }>> {
  const batch_id = batchIdOf(name);
  const found = await findBatch(env, project, batch_id);
  if (!found.ok || found.value.endpoint !== "/v1/messages") return noSuch("message batch", name);
  return ok({ batch: found.value, ref: { project, batch_id } });
}

async function* resultLines(pages: AsyncGenerator<OutcomeRow[]>): AsyncGenerator<string> {
  for await (const rows of pages) {
    yield rows.map(({ ok, line }) => `${resultLineOf(line, ok === 1)}\n`).join("");
  }
}
