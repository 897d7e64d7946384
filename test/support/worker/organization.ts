import type { ApiKeyObject } from "../../../src/wire/api-key.ts";
import type { ProjectObject } from "../../../src/wire/project.ts";
import { ADMIN_KEY, call, post } from "./client.ts";

export const PROJECTS = "/v1/organization/projects";

/** A new project. */
export async function newProject(body: object = {}): Promise<ProjectObject> {
  const response = await post(PROJECTS, { name: "a project", ...body }, ADMIN_KEY);
  if (!response.ok) throw new Error(`POST ${PROJECTS}: ${await response.text()}`);
  return response.json();
}

/** A new key of a project, with its value. */
export async function newKey(
  project: string,
  body: object = {},
): Promise<ApiKeyObject & { value: string }> {
  const path = `${PROJECTS}/${project}/api_keys`;
  const response = await post(path, { name: "a key", ...body }, ADMIN_KEY);
  if (!response.ok) throw new Error(`POST ${path}: ${await response.text()}`);
  return response.json();
}

/** What a key is answered. */
export async function statusOf(key: string, path = "/v1/batches"): Promise<number> {
  return (await call(path, {}, key)).status;
}

/** A request with the admin key. */
export function admin(path: string, init: RequestInit = {}): Promise<Response> {
  return call(`${PROJECTS}${path}`, init, ADMIN_KEY);
}

/** A POST with the admin key. */
export function adminPost(path: string, body: unknown): Promise<Response> {
  return post(`${PROJECTS}${path}`, body, ADMIN_KEY);
}
