import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import type { FileRow } from "../project/schema.ts";
import { batchStub, projectStub } from "../stubs.ts";
import { noSuch, type Result } from "../wire/errors.ts";
import { anyPurpose, fileDeleted, fileList, fileObject } from "../wire/file.ts";
import { fileId } from "../wire/ids.ts";
import { wholeInText } from "../wire/whole.ts";
import type { AppEnv } from "./auth.ts";
import { idParams, refused } from "./batches.ts";
import { viewOfFile } from "./file-view.ts";
import { onFiles, refusal, refusals } from "./openapi.ts";
import { allPages, lines, streamOf } from "./results.ts";

/** GET /v1/files, and GET and DELETE of one; create-file.ts makes them. */
export function addFileRoutes(app: OpenAPIHono<AppEnv>): void {
  const answer = (schema: z.ZodType) => ({
    description: "The file.",
    content: { "application/json": { schema } },
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
        limit: wholeInText(1, 10_000).default(10_000),
        order: z.enum(["asc", "desc"]).default("desc"),
        purpose: anyPurpose.optional(),
      }),
    },
    responses: { 200: answer(fileList), ...refusals },
  });
  app.openapi(list, async (c) => {
    const { after, limit, order, purpose } = c.req.valid("query");
    const index = projectStub(c.env, c.get("project"));
    const page = await index.listFiles({ after, limit, order, purpose });
    if (!page.ok) return refused(c, page.problem);
    const data = page.value.data.map(viewOfFile);
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
    return found.ok ? c.json(viewOfFile(found.value), 200) : refused(c, found.problem);
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
      // Its batch may be gone already, and it is taken out of the index a moment later.
      const pages = await allPages(c.env, { project, batch_id }, kind);
      if (!pages.ok) return refused(c, noSuch("file", id).problem);
      return c.body(streamOf(lines(pages.value)), 200, headers) as never;
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
    const project = c.get("project");
    const found = await findFile(c.env, project, id);
    if (!found.ok) return refused(c, found.problem);
    const { batch_id, kind } = found.value;
    if (batch_id !== null && kind !== null) {
      // Its bytes are in its batch. They go first: a file without bytes can be deleted again.
      const erased = await batchStub(c.env, { project, batch_id }).erase(kind);
      if (!erased.ok && erased.problem.code !== "not_found") return refused(c, erased.problem);
    }
    const removed = await projectStub(c.env, project).removeFile(id);
    if (!removed.ok) return refused(c, removed.problem);
    return c.json({ id, object: "file" as const, deleted: true as const }, 200);
  });
}

async function findFile(env: Env, project: string, id: string): Promise<Result<FileRow>> {
  if (!fileId.safeParse(id).success) return noSuch("file", id);
  return projectStub(env, project).getFile(id);
}
