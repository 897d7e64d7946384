import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import { readConfig } from "../config.ts";
import { batchStub } from "../stubs.ts";
import { hasEnded } from "../wire/batch.ts";
import { noSuch } from "../wire/errors.ts";
import { batchId, newSeed } from "../wire/ids.ts";
import { liveProgress, liveTask, liveTasks } from "../wire/live.ts";
import type { AppEnv } from "./auth.ts";
import { idParams, refused } from "./batches.ts";
import { type LiveOptions, liveEvents } from "./live.ts";
import { addSchema, onBatches, refusal, refusals } from "./openapi.ts";
import { streamOf } from "./results.ts";

const SSE = "text/event-stream";
/** For so long a stream goes on after its key was revoked. */
const LOOK_EVERY_MS = 5_000;
/** A text in which the `data` of each event is one of these. */
const EVENTS = z.string().meta({
  contentMediaType: SSE,
  contentSchema: {
    type: "array",
    items: {
      anyOf: ["Batch", "LiveTask", "LiveProgress"].map((name) => ({
        $ref: `#/components/schemas/${name}`,
      })),
    },
  },
});

/** GET /v1/batches/{id}/events: what happens in a batch, as it happens. */
export function addEventsRoute(app: OpenAPIHono<AppEnv>): void {
  addSchema(app, "LiveTask", liveTask);
  addSchema(app, "LiveProgress", liveProgress);
  const route = createRoute({
    method: "get",
    path: "/v1/batches/{id}/events",
    operationId: "batchEvents",
    summary: "Follow a batch: status, progress and each finished task, until its end",
    description:
      "Server-sent events. `status` (a Batch: first of all, and whenever its status, pause or run changes), `task` (a LiveTask, in the order in which outcomes were recorded, from the first one on), `progress` (a LiveProgress, at most once a second), `end` (the Batch as it ended; the stream is over). The `id` of `task` and `end` only grows: send the last one as `Last-Event-ID` and the stream goes on behind it, without gap or repeat.",
    ...onBatches,
    request: {
      params: idParams,
      headers: z.object({
        "last-event-id": z
          .string()
          .regex(/^\d{0,15}$/, "the id of an event of this stream, a whole number")
          .optional(),
      }),
      query: z.object({
        tasks: liveTasks.default("state").meta({
          description: "Which tasks to tell of: none, what became of them, or their results too.",
        }),
      }),
    },
    responses: {
      200: {
        description: "The events.",
        content: { [SSE]: { schema: EVENTS } },
      },
      204: { description: "The batch has ended, and this client was told all of it." },
      404: refusal("No such batch, or its results were deleted."),
      ...refusals,
    },
  });
  app.openapi(route, async (c) => {
    const { id } = c.req.valid("param");
    const { tasks } = c.req.valid("query");
    const after = Number(c.req.valid("header")["last-event-id"] || 0);
    const project = c.get("project");
    if (!batchId.safeParse(id).success) return refused(c, noSuch("batch", id).problem);
    const batch = batchStub(c.env, { project, batch_id: id });
    const listener = newSeed();
    // Asked before the answer begins, so that what cannot be told is still refused.
    const first = await batch.news({ listener, after, tasks, etag: undefined, waitMs: 0 });
    if (!first.ok) {
      const { problem } = first;
      return refused(c, problem.reason === undefined ? noSuch("batch", id).problem : problem);
    }
    const { last } = first.value;
    if (after > last) {
      const message = `Last-Event-ID takes the id of an event of this stream; its last one is ${last}.`;
      return refused(c, { code: "invalid_request", message, param: "Last-Event-ID" });
    }
    // What tells the EventSource of browsers not to come back.
    if (after === last && hasEnded(first.value.batch.status)) return c.body(null, 204);
    const events = liveEvents({
      listener,
      first: first.value,
      tasks,
      // Each may come with a look at the key.
      asks: Math.floor((readConfig(c.env).subrequests - 1) / 2),
      ask: whileGood(c.get("isStillGood"), (request) => batch.news(request)),
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      nowMs: () => Date.now(),
    });
    return c.body(streamOf(events), 200, {
      "content-type": SSE,
      // Proxies that gather or compress an answer would hold the events back.
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
    }) as never;
  });
}

type Ask = LiveOptions["ask"];

/** Asks as long as the key is good; then as if there were no such batch, which ends the stream. */
function whileGood(isGood: () => Promise<boolean>, ask: Ask): Ask {
  let lookedAtMs = Date.now();
  return async (request) => {
    const reply = await ask(request);
    if (Date.now() - lookedAtMs < LOOK_EVERY_MS) return reply;
    lookedAtMs = Date.now();
    return (await isGood()) ? reply : noSuch("batch", "");
  };
}
