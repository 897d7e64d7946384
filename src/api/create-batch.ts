import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import { readConfig } from "../config.ts";
import { batchObject, fromFile, fromPrompts, fromRequests } from "../wire/batch.ts";
import { batchCheck } from "../wire/check.ts";
import { readBody, USE_A_FILE } from "./asked-batch.ts";
import type { AppEnv } from "./auth.ts";
import { readText } from "./body.ts";
import { dryRun } from "./dry-run.ts";
import { problemResponse } from "./errors.ts";
import { REPLAYED, sha256 } from "./once.ts";
import { openBatch } from "./open-batch.ts";
import { onBatches, refusal, refusals } from "./openapi.ts";

/** A body with inline tasks crosses one RPC (32 MiB) and this isolate's memory (128 MB) at once. */
const MAX_INLINE_BYTES = 16 * 1024 * 1024;

/** POST /v1/batches: opens a batch from inline tasks (202) or from an uploaded file (200). */
export function addCreateBatchRoute(app: OpenAPIHono<AppEnv>): void {
  const answer = (description: string) => ({
    description,
    content: { "application/json": { schema: batchObject } },
  });
  // Registered by hand: the handler needs the body's text, to pass the tasks on byte for byte.
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/v1/batches",
    operationId: "createBatch",
    summary: "Open a batch",
    ...onBatches,
    request: {
      query: z.object({
        dry_run: z.enum(["true", "false"]).optional().meta({
          description:
            "`true` checks every task and answers with a BatchCheck: all errors, an estimate of tokens, cost and time. Nothing is called, nothing is kept.",
        }),
      }),
      body: {
        required: true,
        content: {
          "application/json": { schema: z.union([fromFile, fromPrompts, fromRequests]) },
        },
      },
    },
    responses: {
      200: {
        description: "Opened from a file, which is being validated; or, with dry_run, the check.",
        content: { "application/json": { schema: z.union([batchObject, batchCheck]) } },
      },
      202: { ...answer("Opened and under way."), headers: z.object({ Location: z.string() }) },
      404: refusal("No such input file."),
      413: refusal("More than 16 MiB inline; upload a file instead."),
      ...refusals,
    },
  });

  app.post("/v1/batches", async (c) => {
    const body = await readText(c.req.raw, MAX_INLINE_BYTES, USE_A_FILE);
    if (!body.ok) return problemResponse(c, body.problem);
    const text = body.value;
    const dry = c.req.query("dry_run") ?? "false";
    if (dry !== "true" && dry !== "false") {
      const message = "dry_run takes true or false.";
      return problemResponse(c, { code: "invalid_request", message, param: "dry_run" });
    }
    if (dry === "true") {
      c.get("once").makeNothing();
      const config = readConfig(c.env);
      const asked = readBody(text, c.req.raw.headers, config, true);
      if (!asked.ok) return problemResponse(c, asked.problem);
      const checked = await dryRun(c.env, c.get("project"), config, asked.value);
      return checked.ok ? c.json(checked.value, 200) : problemResponse(c, checked.problem);
    }
    const bodySha256 = sha256(text);
    const turn = await c.get("once").begin(bodySha256);
    if (turn instanceof Response) return turn;
    const asked = readBody(text, c.req.raw.headers, readConfig(c.env), false);
    if (!asked.ok) return problemResponse(c, asked.problem);
    const opened = await openBatch(
      c.env,
      c.get("project"),
      asked.value,
      bodySha256,
      turn,
      c.get("quotas"),
    );
    if (!opened.ok) return problemResponse(c, opened.problem);
    const { batch, again } = opened.value;
    if (again) c.header(REPLAYED, "true");
    if (asked.value.tasks === null) return c.json(batch, 200);
    return c.json(batch, 202, { Location: `/v1/batches/${batch.id}` });
  });
}
