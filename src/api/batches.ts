import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import { readWait } from "../core/prefer.ts";
import { batchStub, projectStub } from "../stubs.ts";
import {
  type BatchList,
  type BatchObject,
  batchList,
  batchObject,
  batchStatus,
} from "../wire/batch.ts";
import { noSuch, type Problem, type Result } from "../wire/errors.ts";
import { batchId, batchIdOf } from "../wire/ids.ts";
import { wholeInText } from "../wire/whole.ts";
import { type AppEnv, noLongerGood } from "./auth.ts";
import { problemResponse } from "./errors.ts";
import { fullPage } from "./full-page.ts";
import { notModified, onBatches, refusal, refusals } from "./openapi.ts";
import { taggedJson } from "./tagged.ts";

/**
 * The `{id}` of a route. Any text is taken: what names nothing is 404, whatever it looks like. A batch
 * of messages may be called by its name at Anthropic's door, too.
 */
export const idParams = z.object({ id: z.string().transform(batchIdOf) });

/** How long to wait for a batch: for its end, or for it to be other than the client knows it. */
interface Wait {
  seconds: number;
  ifNoneMatch: string | undefined;
}

/** The batch object of an id, through its own object; at once, or once there is news of it. */
export async function findBatch(
  env: Env,
  project: string,
  id: string,
  wait?: Wait,
): Promise<Result<BatchObject>> {
  if (!batchId.safeParse(id).success) return noSuch("batch", id);
  const stub = batchStub(env, { project, batch_id: id });
  const found = wait
    ? await stub.viewWhen(wait.seconds * 1000, wait.ifNoneMatch)
    : await stub.view();
  return found.ok ? found : noSuch("batch", id);
}

/** GET /v1/batches, GET /v1/batches/{id}. */
export function addBatchRoutes(app: OpenAPIHono<AppEnv>): void {
  const one = {
    description: "The batch.",
    content: { "application/json": { schema: batchObject } },
  };
  const responses = { 200: one, ...notModified, 404: refusal("No such batch."), ...refusals };

  const list = createRoute({
    method: "get",
    path: "/v1/batches",
    operationId: "listBatches",
    summary: "List batches, the newest first",
    ...onBatches,
    request: {
      query: z.object({
        after: z.string().transform(batchIdOf).optional(),
        limit: wholeInText(1, 100).default(20),
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
      ...notModified,
      ...refusals,
    },
  });
  app.openapi(list, async (c) => {
    const { after, limit, status, search } = c.req.valid("query");
    const project = c.get("project");
    const index = projectStub(c.env, project);
    const page = await fullPage(
      limit,
      (behind, count) =>
        index.listBatches({ after: behind ?? after, limit: count, status, search }),
      async (id) => {
        const found = await findBatch(c.env, project, id);
        return found.ok && matches(found.value, status, search) ? found.value : undefined;
      },
    );
    if (!page.ok) return refused(c, page.problem);
    const { data, lastId, hasMore } = page.value;
    return taggedJson(c, {
      object: "list",
      data,
      first_id: data[0]?.id ?? null,
      last_id: lastId ?? null,
      has_more: hasMore,
    } satisfies BatchList);
  });

  const retrieve = createRoute({
    method: "get",
    path: "/v1/batches/{id}",
    operationId: "retrieveBatch",
    summary: "Look at a batch",
    description:
      "With `Prefer: wait=N` (30 seconds at most) the answer comes as soon as the batch has ended or, with `If-None-Match`, as soon as it is other than the client knows it; after N seconds it comes as it stands. `Preference-Applied` says how long was granted.",
    ...onBatches,
    request: {
      params: idParams,
      headers: z.object({
        prefer: z.string().optional().meta({ example: "wait=20" }),
        "if-none-match": z.string().optional(),
      }),
    },
    responses,
  });
  app.openapi(retrieve, async (c) => {
    const { id } = c.req.valid("param");
    const { prefer, "if-none-match": ifNoneMatch } = c.req.valid("header");
    const seconds = readWait(prefer);
    const wait = seconds === undefined ? undefined : { seconds, ifNoneMatch };
    const found = await findBatch(c.env, c.get("project"), id, wait);
    if (wait && !(await c.get("isStillGood")())) return noLongerGood(c) as never;
    if (!found.ok) return refused(c, found.problem);
    return taggedJson(c, found.value, wait && { "preference-applied": `wait=${seconds}` });
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
