import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import type { Profile } from "../../gate/gate.ts";
import { newProjectId } from "../../wire/ids.ts";
import {
  newProject,
  type ProjectObject,
  projectChange,
  projectList,
  projectObject,
} from "../../wire/project.ts";
import { wholeInText } from "../../wire/whole.ts";
import type { AppEnv } from "../auth.ts";
import { refused } from "../batches.ts";
import { problemResponse } from "../errors.ts";
import { readJson } from "../json-body.ts";
import { onOrganization } from "../openapi.ts";
import { adminRefusals, answer, json, noProject, tooLarge } from "./document.ts";
import { gateOf, listProjects, openProject } from "./find.ts";

const PATH = "/v1/organization/projects";
const params = z.object({ project_id: z.string() });

/** /v1/organization/projects: OpenAI's routes, for whoever has the admin key. */
export function addProjectRoutes(app: OpenAPIHono<AppEnv>): void {
  addReading(app);
  addWriting(app);
}

function addReading(app: OpenAPIHono<AppEnv>): void {
  const list = createRoute({
    method: "get",
    path: PATH,
    operationId: "listProjects",
    summary: "List projects, by id",
    ...onOrganization,
    request: {
      query: z.object({
        after: z.string().max(64).optional(),
        limit: wholeInText(1, 100).default(20),
        include_archived: z.enum(["true", "false"]).default("false"),
      }),
    },
    responses: { 200: answer("A page of projects.", projectList), ...adminRefusals },
  });
  app.openapi(list, async (c) => {
    const { after, limit, include_archived } = c.req.valid("query");
    const found: ProjectObject[] = [];
    let from = after ?? "";
    for (let more = true; more && found.length <= limit; ) {
      const page = await listProjects(c.env, from, limit + 1);
      const profiles = await Promise.all(
        page.ids.map(async (id) => (await gateOf(c.env, id)).profile(id)),
      );
      for (const profile of profiles) {
        if (!profile.ok) continue;
        const project = viewOf(profile.value);
        if (include_archived === "true" || project.status === "active") found.push(project);
      }
      from = page.ids.at(-1) ?? from;
      more = page.more;
    }
    const data = found.slice(0, limit);
    const ends = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
    return c.json({ object: "list" as const, data, ...ends, has_more: found.length > limit }, 200);
  });

  const retrieve = createRoute({
    method: "get",
    path: `${PATH}/{project_id}`,
    operationId: "retrieveProject",
    summary: "Look at a project",
    ...onOrganization,
    request: { params },
    responses: { 200: answer("The project.", projectObject), ...noProject, ...adminRefusals },
  });
  app.openapi(retrieve, async (c) => {
    const { project_id: id } = c.req.valid("param");
    const found = await (await gateOf(c.env, id)).profile(id);
    return found.ok ? c.json(viewOf(found.value), 200) : refused(c, found.problem);
  });
}

function addWriting(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerPath({
    method: "post",
    path: PATH,
    operationId: "createProject",
    summary: "Make a project",
    ...onOrganization,
    request: { body: { required: true, ...json(newProject) } },
    responses: { 200: answer("The project.", projectObject), ...tooLarge, ...adminRefusals },
  });
  app.post(PATH, async (c) => {
    const asked = await readJson(c.req.raw, newProject);
    if (!asked.ok) return problemResponse(c, asked.problem);
    const { name, muster } = asked.value;
    return c.json(viewOf(await openProject(c.env, newProjectId(), name, muster?.quotas ?? {})));
  });

  app.openAPIRegistry.registerPath({
    method: "post",
    path: `${PATH}/{project_id}`,
    operationId: "updateProject",
    summary: "Change a project's name and quotas",
    ...onOrganization,
    request: { params, body: { required: true, ...json(projectChange) } },
    responses: {
      200: answer("The project.", projectObject),
      ...noProject,
      ...tooLarge,
      ...adminRefusals,
    },
  });
  app.post(`${PATH}/:project_id`, async (c) => {
    const id = c.req.param("project_id");
    const change = await readJson(c.req.raw, projectChange);
    if (!change.ok) return problemResponse(c, change.problem);
    const changed = await (await gateOf(c.env, id)).update(id, change.value);
    return changed.ok ? c.json(viewOf(changed.value)) : problemResponse(c, changed.problem);
  });

  const archive = createRoute({
    method: "post",
    path: `${PATH}/{project_id}/archive`,
    operationId: "archiveProject",
    summary: "Archive a project: its keys open nothing any more, its batches run to their end",
    ...onOrganization,
    request: { params },
    responses: { 200: answer("The project.", projectObject), ...noProject, ...adminRefusals },
  });
  app.openapi(archive, async (c) => {
    const { project_id: id } = c.req.valid("param");
    const archived = await (await gateOf(c.env, id)).archive(id);
    return archived.ok ? c.json(viewOf(archived.value), 200) : refused(c, archived.problem);
  });
}

function viewOf({ row, quotas }: Profile): ProjectObject {
  const { archived_at } = row;
  return {
    object: "organization.project",
    id: row.project,
    name: row.name,
    created_at: Math.floor(row.created_at / 1000),
    archived_at: archived_at === null ? null : Math.floor(archived_at / 1000),
    status: archived_at === null ? "active" : "archived",
    muster: {
      quotas: {
        open_batches: quotas.openBatches,
        waiting_tasks: quotas.waitingTasks,
        stored_bytes: quotas.storedBytes,
        requests_per_minute: quotas.requestsPerMinute,
      },
    },
  };
}
