import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { Batch } from "../batch/batch.ts";
import { batchStub } from "../stubs.ts";
import { type BatchObject, batchObject } from "../wire/batch.ts";
import type { Result } from "../wire/errors.ts";
import type { AppEnv } from "./auth.ts";
import { findBatch, idParams, refused } from "./batches.ts";
import { onBatches, refusal, refusals } from "./openapi.ts";

/** What can be done to a batch by its name alone: the last part of its route. */
const STEPS = {
  cancel: "Cancel a batch; calls in flight finish, finished work is kept",
  pause: "Pause a batch; calls in flight finish, nothing new is called",
  resume: "Resume a batch that was paused",
} as const;
type Step = keyof typeof STEPS;

const take: Record<Step, (batch: DurableObjectStub<Batch>) => Promise<Result<BatchObject>>> = {
  cancel: (batch) => batch.cancel(),
  pause: (batch) => batch.pause(),
  resume: (batch) => batch.resume(),
};

/** POST /v1/batches/{id}/cancel, /pause, /resume. */
export function addSteerRoutes(app: OpenAPIHono<AppEnv>): void {
  for (const step of Object.keys(STEPS) as Step[]) {
    const route = createRoute({
      method: "post",
      path: `/v1/batches/{id}/${step}`,
      operationId: `${step}Batch`,
      summary: STEPS[step],
      ...onBatches,
      request: { params: idParams },
      responses: {
        200: {
          description: "The batch.",
          content: { "application/json": { schema: batchObject } },
        },
        404: refusal("No such batch."),
        ...refusals,
      },
    });
    app.openapi(route, async (c) => {
      const { id } = c.req.valid("param");
      const project = c.get("project");
      const found = await findBatch(c.env, project, id);
      if (!found.ok) return refused(c, found.problem);
      const steered = await take[step](batchStub(c.env, { project, batch_id: id }));
      return steered.ok ? c.json(steered.value, 200) : refused(c, steered.problem);
    });
  }
}
