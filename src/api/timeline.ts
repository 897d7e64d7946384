import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import type { TimelineCursor } from "../batch/store/timeline.ts";
import { msOf } from "../core/latency-bins.ts";
import { batchStub } from "../stubs.ts";
import { timeline } from "../wire/task.ts";
import { wholeInText } from "../wire/whole.ts";
import type { AppEnv } from "./auth.ts";
import { findBatch, idParams, refused } from "./batches.ts";
import { onBatches, refusal, refusals } from "./openapi.ts";

const START = "0-0";

/** GET /v1/batches/{id}/timeline: calls and latencies in steps of time, for charts. */
export function addTimelineRoute(app: OpenAPIHono<AppEnv>): void {
  const route = createRoute({
    method: "get",
    path: "/v1/batches/{id}/timeline",
    operationId: "batchTimeline",
    summary: "See a batch over time: calls that ended, 429s, retries, latencies",
    ...onBatches,
    request: {
      params: idParams,
      query: z.object({
        step_ms: wholeInText(100, 86_400_000).default(1_000),
        after: z
          .string()
          .regex(/^[0-9]{1,15}-[0-9]{1,15}$/, "takes the next_after of an earlier answer")
          .default(START),
      }),
    },
    responses: {
      200: { description: "A part.", content: { "application/json": { schema: timeline } } },
      404: refusal("No such batch."),
      ...refusals,
    },
  });
  app.openapi(route, async (c) => {
    const { id } = c.req.valid("param");
    const { step_ms, after } = c.req.valid("query");
    const project = c.get("project");
    const found = await findBatch(c.env, project, id);
    if (!found.ok) return refused(c, found.problem);
    const stub = batchStub(c.env, { project, batch_id: id });
    const { moments, next, more } = await stub.timeline(cursorOf(after), step_ms);
    const data = moments.map(({ atMs, latency, ...counts }) => ({
      at: new Date(atMs).toISOString(),
      ...counts,
      latency_ms: [...latency].map(([bin, calls]): [number, number] => [
        Math.round(msOf(bin) * 10) / 10,
        calls,
      ]),
    }));
    const next_after = `${next.place}-${next.endedMs}`;
    const object = "batch.timeline" as const;
    return c.json({ object, step_ms, data, next_after, has_more: more }, 200);
  });
}

function cursorOf(text: string): TimelineCursor {
  const [place = 0, endedMs = 0] = text.split("-").map(Number);
  return { place, endedMs };
}
