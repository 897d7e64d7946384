import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import { readConfig } from "../config.ts";
import type { FileRow } from "../project/schema.ts";
import { projectStub } from "../stubs.ts";
import { noSuch, type Result, refuse } from "../wire/errors.ts";
import { type FileObject, fileDeleted, fileList, fileObject, filePurpose } from "../wire/file.ts";
import { fileId, newFileId } from "../wire/ids.ts";
import type { AppEnv } from "./auth.ts";
import { idParams, refused } from "./batches.ts";
import { problemResponse } from "./errors.ts";
import { sha256 } from "./once.ts";
import { onFiles, refusal, refusals } from "./openapi.ts";
import { lines, streamOf } from "./results.ts";
import { receiveUpload } from "./upload.ts";

/** /v1/files: upload, list, look, read, delete. */
export function addFileRoutes(app: OpenAPIHono<AppEnv>): void {
  const answer = (schema: z.ZodType) => ({
    description: "The file.",
    content: { "application/json": { schema } },
  });

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
              "expires_after[anchor]": z.literal("created_at").optional(),
              "expires_after[seconds]": z.string().optional(),
            }),
          },
        },
      },
    },
    responses: {
      200: answer(fileObject),
      413: refusal("More than 200 MiB."),
      ...refusals,
    },
  });
  app.post("/v1/files", async (c) => {
    const once = c.get("once");
    const project = c.get("project");
    const key = `files/${project}/${newFileId(once.seed)}`;
    const received = await receiveUpload(c.req.raw, c.env.FILES, key);
    if (!received.ok) return problemResponse(c, received.problem);
    const { fields, file } = received.value;
    // Of what the form holds, not of its bytes: each try has a boundary of its own.
    const sent = sha256(JSON.stringify([[...fields].toSorted(), file]));
    const turn = await once.begin(sent);
    if (turn instanceof Response) {
      await c.env.FILES.delete(key);
      return turn;
    }
    const id = newFileId(turn.seed);
    const nowMs = Date.now();
    const { retentionMs } = readConfig(c.env);
    const row = file === undefined ? NO_FILE : rowOf(id, key, file, fields, nowMs, retentionMs);
    if (!row.ok) {
      await c.env.FILES.delete(key);
      return problemResponse(c, row.problem);
    }
    const kept = await projectStub(c.env, project).addFile(row.value);
    // It was there: an earlier try got as far as this, and its bytes are kept.
    if (kept.r2_key !== key) await c.env.FILES.delete(key);
    return c.json(viewOf(kept), 200);
  });

  const list = createRoute({
    method: "get",
    path: "/v1/files",
    operationId: "listFiles",
    summary: "List files",
    ...onFiles,
    request: {
      query: z.object({
        after: z.string().optional(),
        limit: z.coerce.number().int().min(1).max(10_000).default(10_000),
        order: z.enum(["asc", "desc"]).default("desc"),
        purpose: filePurpose.optional(),
      }),
    },
    responses: { 200: answer(fileList), ...refusals },
  });
  app.openapi(list, async (c) => {
    const { after, limit, order, purpose } = c.req.valid("query");
    const index = projectStub(c.env, c.get("project"));
    const page = await index.listFiles({ after, limit, order, purpose });
    if (!page.ok) return refused(c, page.problem);
    const data = page.value.data.map(viewOf);
    const [first_id, last_id] = [data[0]?.id ?? null, data.at(-1)?.id ?? null];
    const { hasMore: has_more } = page.value;
    return c.json({ object: "list" as const, data, first_id, last_id, has_more }, 200);
  });

  const retrieve = createRoute({
    method: "get",
    path: "/v1/files/{id}",
    operationId: "retrieveFile",
    summary: "Look at a file",
    ...onFiles,
    request: { params: idParams },
    responses: { 200: answer(fileObject), 404: refusal("No such file."), ...refusals },
  });
  app.openapi(retrieve, async (c) => {
    const found = await findFile(c.env, c.get("project"), c.req.valid("param").id);
    return found.ok ? c.json(viewOf(found.value), 200) : refused(c, found.problem);
  });

  const content = createRoute({
    method: "get",
    path: "/v1/files/{id}/content",
    operationId: "fileContent",
    summary: "Read a file",
    ...onFiles,
    request: { params: idParams },
    responses: {
      200: {
        description: "The file's bytes.",
        content: { "application/jsonl": { schema: z.string() } },
      },
      404: refusal("No such file."),
      ...refusals,
    },
  });
  app.openapi(content, async (c) => {
    const { id } = c.req.valid("param");
    const project = c.get("project");
    const found = await findFile(c.env, project, id);
    if (!found.ok) return refused(c, found.problem);
    const { r2_key, batch_id, kind } = found.value;
    const headers = { "content-type": "application/jsonl" };
    if (batch_id !== null && kind !== null) {
      const pieces = lines(c.env, { project, batch_id }, kind);
      return c.body(streamOf(pieces), 200, headers) as never;
    }
    const stored = r2_key === null ? null : await c.env.FILES.get(r2_key);
    if (stored === null) return refused(c, noSuch("file", id).problem);
    return c.body(stored.body, 200, headers) as never;
  });

  const remove = createRoute({
    method: "delete",
    path: "/v1/files/{id}",
    operationId: "deleteFile",
    summary: "Delete a file",
    ...onFiles,
    request: { params: idParams },
    responses: { 200: answer(fileDeleted), 404: refusal("No such file."), ...refusals },
  });
  app.openapi(remove, async (c) => {
    const { id } = c.req.valid("param");
    const removed = await projectStub(c.env, c.get("project")).removeFile(id);
    if (!removed.ok) return refused(c, removed.problem);
    if (removed.value.r2_key !== null) await c.env.FILES.delete(removed.value.r2_key);
    return c.json({ id, object: "file" as const, deleted: true as const }, 200);
  });
}

const NO_FILE = refuse("invalid_request", "The form has no file part named 'file'.", "file");
const EXPIRY_MIN_S = 3_600;
const EXPIRY_MAX_S = 2_592_000;

async function findFile(env: Env, project: string, id: string): Promise<Result<FileRow>> {
  if (!fileId.safeParse(id).success) return noSuch("file", id);
  return projectStub(env, project).getFile(id);
}

function rowOf(
  id: string,
  key: string,
  file: { filename: string; bytes: number; sha256: string },
  fields: ReadonlyMap<string, string>,
  nowMs: number,
  retentionMs: number,
): Result<FileRow> {
  if (fields.get("purpose") !== "batch") {
    return refuse("invalid_request", "purpose takes 'batch'.", "purpose");
  }
  const seconds = expiryOf(fields);
  if (!seconds.ok) return seconds;
  return {
    ok: true,
    value: {
      id,
      purpose: "batch",
      filename: file.filename,
      bytes: file.bytes,
      created_at: nowMs,
      expires_at: nowMs + (seconds.value === null ? retentionMs : seconds.value * 1000),
      r2_key: key,
      sha256: file.sha256,
      batch_id: null,
      kind: null,
    },
  };
}

function expiryOf(fields: ReadonlyMap<string, string>): Result<number | null> {
  const anchor = fields.get("expires_after[anchor]");
  const given = fields.get("expires_after[seconds]");
  if (anchor === undefined && given === undefined) return { ok: true, value: null };
  if (anchor !== "created_at") {
    const takes = "expires_after[anchor] takes 'created_at'.";
    return refuse("invalid_request", takes, "expires_after[anchor]");
  }
  const seconds = Number(given);
  if (!Number.isInteger(seconds) || seconds < EXPIRY_MIN_S || seconds > EXPIRY_MAX_S) {
    const takes = `expires_after[seconds] takes a whole number from ${EXPIRY_MIN_S} to ${EXPIRY_MAX_S}.`;
    return refuse("invalid_request", takes, "expires_after[seconds]");
  }
  return { ok: true, value: seconds };
}

function viewOf(row: FileRow): FileObject {
  const seconds = (ms: number) => Math.floor(ms / 1000);
  return {
    id: row.id,
    object: "file",
    bytes: row.bytes,
    created_at: seconds(row.created_at),
    expires_at: row.expires_at === null ? null : seconds(row.expires_at),
    filename: row.filename,
    purpose: row.purpose,
    status: "processed",
  };
}
