import type { OpenAPIHono } from "@hono/zod-openapi";
import { modelCheck } from "../../config/model-check.ts";
import { unservedBy } from "../../config/routes.ts";
import { readConfig } from "../../config.ts";
import { projectStub } from "../../stubs.ts";
import { messageBatch, messageBatchOf } from "../../wire/anthropic/message-batch.ts";
import { createMessageBatch } from "../../wire/anthropic/request.ts";
import { callHeadersOf } from "../../wire/call-headers.ts";
import { messageBatchId, newBatchId, newFileId, ownInputFileId } from "../../wire/ids.ts";
import type { AppEnv } from "../auth.ts";
import { problemResponse } from "../errors.ts";
import { REPLAYED } from "../once.ts";
import { openBatch } from "../open-batch.ts";
import { hasRoom } from "../room.ts";
import { storeObject } from "../store-object.ts";
import { takeRequests } from "./intake.ts";
import {
  anthropicRefusal,
  anthropicRefusals,
  messageHeaders,
  onMessageBatches,
} from "./openapi.ts";

/** Bytes of the file that a body's requests become at most: a line is longer than its request. */
const MAX_FILE_BYTES = 272 * 1024 * 1024;

/** POST /v1/messages/batches: the body is read as a stream, and a long one kept as a file. */
export function addCreateMessageBatchRoute(app: OpenAPIHono<AppEnv>): void {
  // Registered by hand: the handler reads the body as a stream.
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/v1/messages/batches",
    operationId: "createMessageBatch",
    summary: "Open a batch of messages",
    ...onMessageBatches,
    request: {
      headers: messageHeaders,
      body: { required: true, content: { "application/json": { schema: createMessageBatch } } },
    },
    responses: {
      200: {
        description: "Opened and under way.",
        content: { "application/json": { schema: messageBatch } },
      },
      413: anthropicRefusal("More than 256 MiB."),
      ...anthropicRefusals,
    },
  });

  app.post("/v1/messages/batches", async (c) => {
    if (c.req.query("dry_run") !== undefined) {
      const message =
        "dry_run: only POST /v1/batches takes it, with endpoint '/v1/messages' and each request's params as its body.";
      return problemResponse(c, { code: "invalid_request", message });
    }
    const once = c.get("once");
    const project = c.get("project");
    const index = projectStub(c.env, project);
    const key = `files/${project}/${newFileId(once.seed)}`;
    const config = readConfig(c.env);
    const { upstreams, retentionMs } = config;
    const unserved = unservedBy(upstreams, "/v1/messages");
    let wrote = false;
    const quotas = c.get("quotas");
    if (!once.mayBeRepeated) {
      const room = await hasRoom(index, { batches: 1, tasks: 1 }, quotas);
      if (!room.ok) return problemResponse(c, room.problem);
    }
    const taken = await takeRequests(
      c.req.raw,
      // Without any, that is what is wrong, and not the model.
      (model) => (upstreams.length === 0 ? undefined : unserved(model)),
      async (lines) => {
        wrote = true;
        await index.expectBytes(key);
        return storeObject(lines, c.env.FILES, key, MAX_FILE_BYTES);
      },
    );
    const without = async (answer: Response) => {
      if (wrote) await c.env.FILES.delete(key);
      return answer;
    };
    if (!taken.ok) return without(problemResponse(c, taken.problem));
    const headers = callHeadersOf(c.req.raw.headers, "/v1/messages");
    if (!headers.ok) return without(problemResponse(c, headers.problem));
    const { options, tasks, stored, count, models, sha256 } = taken.value;
    // Whether models need a price is known once the options are, which may come last.
    const check = modelCheck(config, "/v1/messages", options.max_cost !== undefined);
    for (const [model, index] of upstreams.length === 0 ? [] : models) {
      const fault = check(model);
      if (fault === undefined) continue;
      const message = `requests.${index}.params.model: ${fault.why}`;
      return without(problemResponse(c, { code: "invalid_request", message }));
    }
    const turn = await once.begin(sha256);
    if (turn instanceof Response) return without(turn);

    let inputFileId: string | null = null;
    let keeps = false;
    if (stored !== undefined) {
      const nowMs = Date.now();
      // A retry's batch has its file, which takes no room anew.
      const { fingerprint, isRetry } = turn;
      const before =
        isRetry && fingerprint !== null ? await index.batchAskedWith(fingerprint) : undefined;
      const batchId = before ?? newBatchId(turn.seed);
      const added = await index.addFile(
        {
          id: ownInputFileId(batchId),
          purpose: "batch",
          filename: `${messageBatchId(batchId)}.jsonl`,
          bytes: stored.bytes,
          created_at: nowMs,
          expires_at: nowMs + retentionMs,
          r2_key: key,
          sha256: stored.sha256,
          lines: stored.lines,
          batch_id: null,
          kind: null,
        },
        quotas,
      );
      if (!added.ok) return without(problemResponse(c, added.problem));
      const kept = added.value;
      // It was there: an earlier try got as far as this, and its bytes are kept.
      keeps = kept.r2_key === key;
      if (!keeps) await c.env.FILES.delete(key);
      inputFileId = kept.id;
    }
    const opened = await openBatch(
      c.env,
      project,
      {
        endpoint: "/v1/messages",
        callHeaders: headers.value,
        announced: count,
        options,
        inputFileId,
        tasks: tasks ?? null,
        shared: false,
      },
      sha256,
      turn,
      quotas,
    );
    // Nobody needs the file that this try kept: there is no batch, or it reads another try's.
    const reads = opened.ok ? opened.value.batch.input_file_id : null;
    if (keeps && inputFileId !== null && reads !== inputFileId) {
      await index.removeFile(inputFileId);
    }
    if (!opened.ok) return problemResponse(c, opened.problem);
    const { batch, again } = opened.value;
    if (again) c.header(REPLAYED, "true");
    return c.json(messageBatchOf(batch, new URL(c.req.url).origin), 200);
  });
}
