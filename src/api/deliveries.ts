import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import type { DeliveryHistory } from "../batch/schema.ts";
import { batchStub } from "../stubs.ts";
import { ATTEMPTS } from "../webhooks/schedule.ts";
import {
  type DeliveryAttempt,
  type DeliveryObject,
  deliveryList,
  deliveryObject,
} from "../wire/delivery.ts";
import type { AppEnv } from "./auth.ts";
import { findBatch, idParams, refused } from "./batches.ts";
import { onBatches, refusal, refusals } from "./openapi.ts";

/** GET /v1/batches/{id}/deliveries, POST …/deliveries/{delivery_id}/resend. */
export function addDeliveryRoutes(app: OpenAPIHono<AppEnv>): void {
  const list = createRoute({
    method: "get",
    path: "/v1/batches/{id}/deliveries",
    operationId: "listDeliveries",
    summary: "See the webhooks of a batch, and how sending them went",
    ...onBatches,
    request: { params: idParams },
    responses: {
      200: {
        description: "The deliveries.",
        content: { "application/json": { schema: deliveryList } },
      },
      404: refusal("No such batch."),
      ...refusals,
    },
  });
  app.openapi(list, async (c) => {
    const { id } = c.req.valid("param");
    const project = c.get("project");
    const found = await findBatch(c.env, project, id);
    if (!found.ok) return refused(c, found.problem);
    const rows = await batchStub(c.env, { project, batch_id: id }).deliveries();
    return c.json({ object: "list" as const, data: rows.map(viewOf) }, 200);
  });

  const resend = createRoute({
    method: "post",
    path: "/v1/batches/{id}/deliveries/{delivery_id}/resend",
    operationId: "resendDelivery",
    summary: "Send a webhook again, from the beginning of its schedule",
    ...onBatches,
    request: { params: idParams.extend({ delivery_id: z.string() }) },
    responses: {
      200: {
        description: "The delivery, which is due now.",
        content: { "application/json": { schema: deliveryObject } },
      },
      404: refusal("No such batch, or no such delivery of it."),
      ...refusals,
    },
  });
  app.openapi(resend, async (c) => {
    const { id, delivery_id } = c.req.valid("param");
    const project = c.get("project");
    const found = await findBatch(c.env, project, id);
    if (!found.ok) return refused(c, found.problem);
    const sent = await batchStub(c.env, { project, batch_id: id }).resend(delivery_id);
    return sent.ok ? c.json(viewOf(sent.value), 200) : refused(c, sent.problem);
  });
}

function viewOf({ delivery, attempts }: DeliveryHistory): DeliveryObject {
  const due = delivery.state === "due";
  return {
    id: delivery.id,
    object: "batch.delivery",
    event_id: delivery.event_id,
    event_type: delivery.type,
    webhook_endpoint_id: delivery.endpoint_id,
    url: delivery.url,
    state: delivery.state,
    attempts: attempts.map(attemptView),
    attempts_left: due ? ATTEMPTS - delivery.attempts : 0,
    next_attempt_at: timeOf(due ? delivery.next_at : null),
    last_status: delivery.last_status,
    last_error: delivery.last_error,
  };
}

/** An attempt of a delivery as clients see it. */
export function attemptView(attempt: {
  started_at: number;
  took_ms: number;
  status: number | null;
  error: string | null;
  next_at: number | null;
}): DeliveryAttempt {
  return {
    started_at: new Date(attempt.started_at).toISOString(),
    duration_ms: attempt.took_ms,
    status_code: attempt.status,
    error: attempt.error,
    next_attempt_at: timeOf(attempt.next_at),
  };
}

function timeOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
