import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import { batchStub, projectStub } from "../stubs.ts";
import { type BatchObject, batchList, batchObject, batchStatus } from "../wire/batch.ts";
import { noSuch, type Problem, type Result } from "../wire/errors.ts";
import { batchId } from "../wire/ids.ts";
import type { AppEnv } from "./auth.ts";
import { problemResponse } from "./errors.ts";
import { onBatches, refusal, refusals } from "./openapi.ts";

/** The `{id}` of a route. Any text is taken: what names nothing is 404, whatever it looks like. */
export const idParams = z.object({ id: z.string() });

/** The batch object of an id, through its own object. */
export async function findBatch(
  env: Env,
  project: string,
  id: string,
): Promise<Result<BatchObject>> {
  if (!batchId.safeParse(id).success) return noSuch("batch", id);
  const found = await batchStub(env, { project, batch_id: id }).view();
  return found.ok ? found : noSuch("batch", id);
}

/** GET /v1/batches, GET /v1/batches/{id}. */
export function addBatchRoutes(app: OpenAPIHono<AppEnv>): void {
  const one = {
    description: "The batch.",
    content: { "application/json": { schema: batchObject } },
  };
  const responses = { 200: one, 404: refusal("No such batch."), ...refusals };

  const list = createRoute({
    method: "get",
    path: "/v1/batches",
    operationId: "listBatches",
    summary: "List batches, the newest first",
    ...onBatches,
    request: {
      query: z.object({
        after: z.string().optional(),
        limit: z.coerce.number().int().min(1).max(100).default(20),
        status: batchStatus.optional(),
        search: z.string().min(1).max(200).optional().meta({
          description: "A part of the id, the model or the metadata.",
        }),
      }),
    },
    responses: {
      200: {
        description: "A page of batches.",
        content: { "application/json": { schema: batchList } },
      },
      ...refusals,
    },
  });
  app.openapi(list, async (c) => {
    const { after, limit, status, search } = c.req.valid("query");
    const project = c.get("project");
    const query = { after, limit, status, search };
    const page = await projectStub(c.env, project).listBatches(query);
    if (!page.ok) return refused(c, page.problem);
    const found = await Promise.all(page.value.data.map((id) => findBatch(c.env, project, id)));
    // An id whose batch is not open yet, or could not be opened, is not listed.
    const data = found
      .flatMap((batch) => (batch.ok ? [batch.value] : []))
      .filter((batch) => matches(batch, status, search));
    return c.json(
      {
        object: "list" as const,
        data,
        first_id: data[0]?.id ?? null,
        // Of the page, listed or not: the next one starts behind it.
        last_id: page.value.data.at(-1) ?? null,
        has_more: page.value.hasMore,
      },
      200,
    );
  });

  const retrieve = createRoute({
    method: "get",
    path: "/v1/batches/{id}",
    operationId: "retrieveBatch",
    summary: "Look at a batch",
    ...onBatches,
    request: { params: idParams },
    responses,
  });
  app.openapi(retrieve, async (c) => {
    const { id } = c.req.valid("param");
    const found = await findBatch(c.env, c.get("project"), id);
    return found.ok ? c.json(found.value, 200) : refused(c, found.problem);
  });
}

/** Whether a batch is one that was asked for, as it stands now. */
function matches(batch: BatchObject, status?: string, search?: string): boolean {
  if (status !== undefined && batch.status !== status) return false;
  if (search === undefined) return true;
  const metadata = batch.metadata === null ? "" : JSON.stringify(batch.metadata);
  const word = search.toLowerCase();
  return [batch.id, batch.model ?? "", metadata].some((text) => text.toLowerCase().includes(word));
}

/** A problem's response, typed for `app.openapi`, whose handlers declare 200 and the refusals. */
export function refused(c: Parameters<typeof problemResponse>[0], problem: Problem) {
  return problemResponse(c, problem) as never;
}
