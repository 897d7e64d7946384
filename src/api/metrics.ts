import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import { EXPOSITION_TYPE, exposition, type Metric } from "../core/exposition.ts";
import type { Totals } from "../project/digests.ts";
import { projectStub } from "../stubs.ts";
import type { AppEnv } from "./auth.ts";
import { refusals } from "./openapi.ts";

/**
 * GET /metrics: the project of the key in numbers, for Prometheus. From the state of objects and not
 * from counters in memory, which every isolate would have its own of.
 */
export function addMetricsRoute(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/metrics",
    operationId: "metrics",
    summary: "The project in numbers, in Prometheus' text format",
    tags: ["Operation"],
    security: [{ apiKey: [] }],
    responses: {
      200: {
        description: "Metrics, at most five seconds old while batches run.",
        content: { "text/plain": { schema: z.string() } },
      },
      401: refusals[401],
      500: refusals[500],
      503: refusals[503],
    },
  });
  app.get("/metrics", async (c) => {
    const project = c.get("project");
    const totals = await projectStub(c.env, project).totals();
    return c.body(exposition(projectMetrics(project, totals)), 200, {
      "content-type": EXPOSITION_TYPE,
    });
  });
}

function projectMetrics(project: string, totals: Totals): Metric[] {
  const of = (values: Readonly<Record<string, number>>, label: string) =>
    Object.entries(values).map(([key, value]) => ({ labels: { project, [label]: key }, value }));
  const { pending, running, ...ended } = totals.tasks;
  return [
    {
      name: "muster_batches",
      type: "gauge",
      help: "Batches that are kept, by status.",
      samples: of(totals.batches, "status"),
    },
    {
      name: "muster_tasks_open",
      type: "gauge",
      help: "Tasks without an outcome: waiting, or with a call in flight.",
      samples: of({ pending, running }, "state"),
    },
    {
      name: "muster_task_outcomes_total",
      type: "counter",
      help: "Tasks by outcome. Retrying a batch takes what it runs again out of this.",
      samples: of(ended, "outcome"),
    },
    {
      name: "muster_tokens_total",
      type: "counter",
      help: "Tokens that upstreams reported.",
      samples: of({ input: totals.inputTokens, output: totals.outputTokens }, "kind"),
    },
    {
      name: "muster_result_bytes",
      type: "gauge",
      help: "Bytes that kept results take up.",
      samples: [{ labels: { project }, value: totals.resultBytes }],
    },
  ];
}
