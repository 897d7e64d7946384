import type { OpenAPIHono } from "@hono/zod-openapi";
import { batchStub } from "../stubs.ts";
import { batchChange, batchObject } from "../wire/batch.ts";
import { batchIdOf } from "../wire/ids.ts";
import type { AppEnv } from "./auth.ts";
import { findBatch, idParams } from "./batches.ts";
import { problemResponse } from "./errors.ts";
import { readJson } from "./json-body.ts";
import { onBatches, refusal, refusals } from "./openapi.ts";

/** PATCH /v1/batches/{id}: changes a batch while it runs. */
export function addChangeBatchRoute(app: OpenAPIHono<AppEnv>): void {
  // Registered by hand: the body is read as JSON whatever its content type says.
  app.openAPIRegistry.registerPath({
    method: "patch",
    path: "/v1/batches/{id}",
    operationId: "changeBatch",
    summary: "Change a batch while it runs; of one that has ended, the metadata alone",
    description:
      "Takes effect with the next call that would begin. A lower max_concurrency ends no call; none begins until fewer are in flight.",
    ...onBatches,
    request: {
      params: idParams,
      body: { required: true, content: { "application/json": { schema: batchChange } } },
    },
    responses: {
      200: {
        description: "The batch.",
        content: { "application/json": { schema: batchObject } },
      },
      404: refusal("No such batch."),
      413: refusal("More than 64 KiB."),
      ...refusals,
    },
  });
  app.patch("/v1/batches/:id", async (c) => {
    const id = batchIdOf(c.req.param("id"));
    const project = c.get("project");
    const found = await findBatch(c.env, project, id);
    if (!found.ok) return problemResponse(c, found.problem);
    const change = await readJson(c.req.raw, batchChange);
    if (!change.ok) return problemResponse(c, change.problem);
    const changed = await batchStub(c.env, { project, batch_id: id }).change(change.value);
    return changed.ok ? c.json(changed.value, 200) : problemResponse(c, changed.problem);
  });
}
