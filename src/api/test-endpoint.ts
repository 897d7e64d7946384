import type { z } from "zod";
import { readConfig } from "../config.ts";
import { projectStub } from "../stubs.ts";
import { send } from "../webhooks/deliver.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import type { Event, EventType } from "../wire/event.ts";
import { newTestEventId, SAMPLE_BATCH_ID } from "../wire/ids.ts";
import type { endpointTestResult } from "../wire/webhook-endpoint.ts";

/**
 * Sends a sample event to an endpoint, once, signed as real ones are, and notes the attempt. An
 * endpoint that cannot be reached is a 400, which the official client does not repeat.
 */
export async function testEndpoint(
  env: Env,
  project: string,
  id: string,
  { event_type }: { event_type: EventType },
): Promise<Result<z.infer<typeof endpointTestResult>>> {
  const stub = projectStub(env, project);
  const target = await stub.endpointTestTarget(id);
  if (!target.ok) return target;
  const event: Event = {
    id: newTestEventId(),
    object: "event",
    type: event_type,
    created_at: Math.floor(Date.now() / 1000),
    data: { id: SAMPLE_BATCH_ID },
  };
  const message = { id: event.id, body: JSON.stringify(event) };
  const answer = await send(message, target.value, readConfig(env), Date.now);
  const { startedMs, tookMs, status, error } = answer;
  const attempt = { endpointId: id, batchId: null, deliveryId: event.id, n: 1, eventId: event.id };
  const came = { startedMs, tookMs, status, error, nextMs: null, restUntilMs: 0 };
  await stub.noteAttempts([{ ...attempt, type: event_type, ...came }]);
  if (status === null) {
    return refuse(
      "invalid_request",
      `The test event was not delivered to ${target.value.url}. ${error}`,
      undefined,
      "webhook_test_failed",
    );
  }
  const object = "webhook_endpoint.test";
  return ok({ object, webhook_endpoint_id: id, event_type, status_code: status, success: true });
}
