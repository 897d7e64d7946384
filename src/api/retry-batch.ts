import type { OpenAPIHono } from "@hono/zod-openapi";
import { batchStub, projectStub } from "../stubs.ts";
import { type BatchObject, batchObject, batchRetry, hasEnded } from "../wire/batch.ts";
import { ok, type Result } from "../wire/errors.ts";
import { batchIdOf } from "../wire/ids.ts";
import type { Quotas } from "../wire/quota.ts";
import type { AppEnv } from "./auth.ts";
import { findBatch, idParams } from "./batches.ts";
import { problemResponse } from "./errors.ts";
import { readJson } from "./json-body.ts";
import { onBatches, refusal, refusals } from "./openapi.ts";
import { hasRoom } from "./room.ts";

/** POST /v1/batches/{id}/retry, with a new budget if the old one is spent. */
export function addRetryBatchRoute(app: OpenAPIHono<AppEnv>): void {
  // Registered by hand: the body is read as JSON whatever its content type says, and may be missing.
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/v1/batches/{id}/retry",
    operationId: "retryBatch",
    summary: "Run again what did not succeed, in a new window; what succeeded is kept",
    description:
      "A budget is that of all runs together: where it is spent, a retry takes a higher one.",
    ...onBatches,
    request: {
      params: idParams,
      body: { required: false, content: { "application/json": { schema: batchRetry } } },
    },
    responses: {
      200: {
        description: "The batch.",
        content: { "application/json": { schema: batchObject } },
      },
      404: refusal("No such batch."),
      ...refusals,
    },
  });
  app.post("/v1/batches/:id/retry", async (c) => {
    const id = batchIdOf(c.req.param("id"));
    const project = c.get("project");
    const found = await findBatch(c.env, project, id);
    if (!found.ok) return problemResponse(c, found.problem);
    const change = await readJson(c.req.raw, batchRetry);
    if (!change.ok) return problemResponse(c, change.problem);
    const room = await roomToRetry(c.env, project, found.value, c.get("quotas"));
    if (!room.ok) return problemResponse(c, room.problem);
    const retried = await batchStub(c.env, { project, batch_id: id }).retry(change.value);
    return retried.ok ? c.json(retried.value, 200) : problemResponse(c, retried.problem);
  });
}

/**
 * A batch that runs again is one more that is open, and its tasks wait again. It tells of itself as
 * soon as it does, so only retries within the same moment do not see each other.
 */
async function roomToRetry(
  env: Env,
  project: string,
  batch: BatchObject,
  quotas: Quotas,
): Promise<Result<null>> {
  const { failed, cancelled, expired } = batch.muster.counts;
  const tasks = failed + cancelled + expired;
  // What cannot be retried is told in the batch's own words.
  if (!hasEnded(batch.status) || tasks === 0) return ok(null);
  return hasRoom(projectStub(env, project), { batches: 1, tasks }, quotas);
}
