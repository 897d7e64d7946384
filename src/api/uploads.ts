import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import { readConfig } from "../config.ts";
import type { UploadState } from "../project/uploads.ts";
import { projectStub } from "../stubs.ts";
import { noSuch, ok, type Result, refuse } from "../wire/errors.ts";
import { newFileId, newPartId, newUploadId, uploadId } from "../wire/ids.ts";
import {
  type Completion,
  completion,
  MAX_PART_BYTES,
  newUpload,
  type UploadObject,
  uploadObject,
  uploadPart,
} from "../wire/upload.ts";
import type { AppEnv } from "./auth.ts";
import { idParams } from "./batches.ts";
import { problemResponse } from "./errors.ts";
import { viewOfFile } from "./file-view.ts";
import { type FormRules, receiveForm } from "./form.ts";
import { readJson } from "./json-body.ts";
import { sha256 } from "./once.ts";
import { onFiles, refusal, refusals } from "./openapi.ts";
import { storeObject } from "./store-object.ts";

const PATH = "/v1/uploads";

/** @param maxBytes those of the longest part, or of the whole upload if it has fewer. */
const rulesOf = (maxBytes: number): FormRules => ({
  file: "data",
  maxBytes,
  advice:
    maxBytes < MAX_PART_BYTES ? "The upload was created for no more." : "Send it as several parts.",
  fields: [],
});

/** /v1/uploads: a file in parts, each a request of its own. */
export function addUploadRoutes(app: OpenAPIHono<AppEnv>): void {
  addCreate(app);
  addPart(app);
  addComplete(app);
  addCancel(app);
}

function addCreate(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerPath({
    method: "post",
    path: PATH,
    operationId: "createUpload",
    summary: "Begin an upload in parts, which takes parts for an hour",
    ...onFiles,
    request: { body: { required: true, ...json(newUpload) } },
    responses: { 200: answer("The upload.", uploadObject), ...tooLarge, ...refusals },
  });
  app.post(PATH, async (c) => {
    const asked = await readJson(c.req.raw, newUpload);
    if (!asked.ok) return problemResponse(c, asked.problem);
    const project = projectStub(c.env, c.get("project"));
    const id = newUploadId(c.get("once").making.seed);
    const made = await project.createUpload(id, asked.value, c.get("quotas"));
    return made.ok ? c.json(viewOf(made.value)) : problemResponse(c, made.problem);
  });
}

function addPart(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerPath({
    method: "post",
    path: `${PATH}/{id}/parts`,
    operationId: "createUploadPart",
    summary: "Add a part to an upload; parts may come in any order, and at the same time",
    ...onFiles,
    request: {
      params: idParams,
      body: {
        required: true,
        content: {
          "multipart/form-data": {
            schema: z.object({ data: z.string().meta({ format: "binary" }) }),
          },
        },
      },
    },
    responses: {
      200: answer("The part.", uploadPart),
      404: refusal("No such upload."),
      413: refusal("More than 64 MiB, or than the upload was created for."),
      415: refusal("The body is no multipart form."),
      ...refusals,
    },
  });
  app.post(`${PATH}/:id/parts`, async (c) => {
    const id = c.req.param("id");
    const once = c.get("once");
    const project = c.get("project");
    const index = projectStub(c.env, project);
    if (!uploadId.safeParse(id).success) return problemResponse(c, noSuch("upload", id).problem);
    const key = `uploads/${project}/${id}/${newPartId(once.seed)}`;
    const expected = await index.expectPart(id, key);
    if (!expected.ok) return problemResponse(c, expected.problem);
    const rules = rulesOf(expected.value);
    const received = await receiveForm(c.req.raw, c.env.FILES, key, rules);
    if (!received.ok) return problemResponse(c, received.problem);
    const { bytes, sha256: hash } = received.value.file;
    const turn = await once.begin(sha256(hash));
    if (turn instanceof Response) {
      await c.env.FILES.delete(key);
      return turn;
    }
    const part = { id: newPartId(turn.seed), r2_key: key, bytes, created_at: Date.now() };
    const added = await index.addPart(id, part, c.get("quotas"));
    if (!added.ok) {
      await c.env.FILES.delete(key);
      return problemResponse(c, added.problem);
    }
    return c.json({
      id: added.value.id,
      object: "upload.part" as const,
      created_at: Math.floor(added.value.created_at / 1000),
      upload_id: id,
    });
  });
}

function addComplete(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerPath({
    method: "post",
    path: `${PATH}/{id}/complete`,
    operationId: "completeUpload",
    summary: "Put the parts together to a file",
    ...onFiles,
    request: { params: idParams, body: { required: true, ...json(completion) } },
    responses: {
      200: answer("The upload, with its file.", uploadObject),
      404: refusal("No such upload."),
      ...tooLarge,
      ...refusals,
    },
  });
  app.post(`${PATH}/:id/complete`, async (c) => {
    const id = c.req.param("id");
    const asked = await readJson(c.req.raw, completion);
    if (!asked.ok) return problemResponse(c, asked.problem);
    const done = await complete(c.env, c.get("project"), id, asked.value);
    return done.ok ? c.json(viewOf(done.value)) : problemResponse(c, done.problem);
  });
}

function addCancel(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerPath({
    method: "post",
    path: `${PATH}/{id}/cancel`,
    operationId: "cancelUpload",
    summary: "Cancel an upload; its parts are deleted",
    ...onFiles,
    request: { params: idParams },
    responses: {
      200: answer("The upload.", uploadObject),
      404: refusal("No such upload."),
      ...refusals,
    },
  });
  app.post(`${PATH}/:id/cancel`, async (c) => {
    const cancelled = await projectStub(c.env, c.get("project")).cancelUpload(c.req.param("id"));
    return cancelled.ok ? c.json(viewOf(cancelled.value)) : problemResponse(c, cancelled.problem);
  });
}

/** Copies the parts, one behind the other, into the file's own object. */
async function complete(
  env: Env,
  project: string,
  id: string,
  { part_ids, md5 }: Completion,
): Promise<Result<UploadState>> {
  const index = projectStub(env, project);
  const fileId = newFileId();
  const key = `files/${project}/${fileId}`;
  const assembly = await index.assembleUpload(id, part_ids, key);
  if (!assembly.ok) return assembly;
  if (!("keys" in assembly.value)) return ok(assembly.value);
  const { upload, keys } = assembly.value;
  const stored = await storeObject(chunks(env.FILES, keys), env.FILES, key, upload.bytes);
  if (stored?.bytes !== upload.bytes) {
    // They were all there a moment ago.
    await env.FILES.delete(key);
    return refuse("invalid_request", "This upload ended while it was put together.", "upload_id");
  }
  if (md5 !== undefined && md5.toLowerCase() !== stored.md5) {
    await env.FILES.delete(key);
    const message = `The parts have the MD5 ${stored.md5} together, in this order.`;
    return refuse("invalid_request", message, "md5", "md5_mismatch");
  }
  const nowMs = Date.now();
  const { retentionMs } = readConfig(env);
  const keptMs = upload.expires_after_s === null ? retentionMs : upload.expires_after_s * 1000;
  return index.completeUpload(id, part_ids, {
    id: fileId,
    purpose: "batch",
    filename: upload.filename,
    bytes: stored.bytes,
    created_at: nowMs,
    expires_at: nowMs + keptMs,
    r2_key: key,
    sha256: stored.sha256,
    lines: stored.lines,
    batch_id: null,
    kind: null,
  });
}

/** The bytes of several objects, one after the other; those of one that is gone are left out. */
async function* chunks(bucket: R2Bucket, keys: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const key of keys) {
    const part = await bucket.get(key);
    if (part !== null) yield* part.body;
  }
}

const tooLarge = { 413: refusal("More than 64 KiB.") };

function json<T extends z.ZodType>(schema: T) {
  return { content: { "application/json": { schema } } };
}

function answer<T extends z.ZodType>(description: string, schema: T) {
  return { description, ...json(schema) };
}

function viewOf({ upload, status, file }: UploadState): UploadObject {
  return {
    id: upload.id,
    object: "upload",
    bytes: upload.bytes,
    created_at: Math.floor(upload.created_at / 1000),
    expires_at: Math.floor(upload.expires_at / 1000),
    filename: upload.filename,
    purpose: "batch",
    status,
    file: file === null ? null : viewOfFile(file),
  };
}
