import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import { readConfig } from "../config.ts";
import { projectStub } from "../stubs.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import { expiresAfter, fileObject, MAX_FILE_BYTES } from "../wire/file.ts";
import { newFileId } from "../wire/ids.ts";
import { numberOf } from "../wire/whole.ts";
import type { AppEnv } from "./auth.ts";
import { problemResponse } from "./errors.ts";
import { viewOfFile } from "./file-view.ts";
import { type FormRules, receiveForm } from "./form.ts";
import { sha256 } from "./once.ts";
import { onFiles, refusal, refusals } from "./openapi.ts";
import { hasRoom } from "./room.ts";

const ANCHOR = "expires_after[anchor]";
const SECONDS = "expires_after[seconds]";

/** Of a request's length, what is the form's own at most; the file's is known once it came. */
const FORM_BYTES = 2_048;

const RULES: FormRules = {
  file: "file",
  maxBytes: MAX_FILE_BYTES,
  advice: "Split it into several batches.",
  fields: ["purpose", ANCHOR, SECONDS],
};

/** POST /v1/files: an upload in one request. */
export function addCreateFileRoute(app: OpenAPIHono<AppEnv>): void {
  // Registered by hand: the handler reads the form as a stream.
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/v1/files",
    operationId: "createFile",
    summary: "Upload a file of request lines",
    ...onFiles,
    request: {
      body: {
        required: true,
        content: {
          "multipart/form-data": {
            schema: z.object({
              file: z
                .string()
                .meta({ format: "binary", description: "JSONL, one request a line." }),
              purpose: z.literal("batch"),
              [ANCHOR]: z.literal("created_at").optional(),
              [SECONDS]: z.string().optional().meta({ description: "3600 to 2592000." }),
            }),
          },
        },
      },
    },
    responses: {
      200: { description: "The file.", content: { "application/json": { schema: fileObject } } },
      413: refusal("More than 200 MiB."),
      415: refusal("The body is no multipart form."),
      ...refusals,
    },
  });
  app.post("/v1/files", async (c) => {
    const once = c.get("once");
    const project = c.get("project");
    const index = projectStub(c.env, project);
    const quotas = c.get("quotas");
    const announced = Number(c.req.header("content-length") ?? 0) - FORM_BYTES;
    const size = { bytes: Math.max(1, announced || 0), isGuess: true };
    if (!once.hasKey) {
      const room = await hasRoom(index, size, quotas);
      if (!room.ok) return problemResponse(c, room.problem);
    }
    const key = `files/${project}/${newFileId(once.seed)}`;
    await index.expectBytes(key);
    const received = await receiveForm(c.req.raw, c.env.FILES, key, RULES);
    if (!received.ok) return problemResponse(c, received.problem);
    const { fields, file } = received.value;
    // Of what the form holds, not of its bytes: each try has a boundary of its own.
    const sent = sha256(JSON.stringify([[...fields].toSorted(), file]));
    const turn = await once.begin(sent);
    if (turn instanceof Response) {
      await c.env.FILES.delete(key);
      return turn;
    }
    const nowMs = Date.now();
    const keptMs = keptMsOf(fields, readConfig(c.env).retentionMs);
    if (!keptMs.ok) {
      await c.env.FILES.delete(key);
      return problemResponse(c, keptMs.problem);
    }
    const added = await index.addFile(
      {
        id: newFileId(turn.seed),
        purpose: "batch",
        filename: file.filename,
        bytes: file.bytes,
        created_at: nowMs,
        expires_at: nowMs + keptMs.value,
        r2_key: key,
        sha256: file.sha256,
        lines: file.lines,
        batch_id: null,
        kind: null,
      },
      quotas,
    );
    if (!added.ok) {
      await c.env.FILES.delete(key);
      return problemResponse(c, added.problem);
    }
    const kept = added.value;
    // It was there: an earlier try got as far as this, and its bytes are kept.
    if (kept.r2_key !== key) await c.env.FILES.delete(key);
    return c.json(viewOfFile(kept), 200);
  });
}

/** How long the form wants its file kept. */
function keptMsOf(fields: ReadonlyMap<string, string>, retentionMs: number): Result<number> {
  if (fields.get("purpose") !== "batch") {
    const missing = fields.has("purpose") ? undefined : "missing_required_parameter";
    return refuse("invalid_request", "purpose takes 'batch'.", "purpose", missing);
  }
  const anchor = fields.get(ANCHOR);
  const given = fields.get(SECONDS);
  if (anchor === undefined && given === undefined) return ok(retentionMs);
  const asked = expiresAfter.safeParse({
    anchor,
    seconds: numberOf(given),
  });
  if (asked.success) return ok(asked.data.seconds * 1000);
  const at = asked.error.issues[0]?.path[0] === "anchor" ? ANCHOR : SECONDS;
  const takes = at === ANCHOR ? "'created_at'" : "a whole number from 3600 to 2592000";
  return refuse("invalid_request", `${at} takes ${takes}.`, at);
}
