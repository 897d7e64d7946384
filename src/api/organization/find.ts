import { readConfig } from "../../config.ts";
import type { Gate } from "../../gate/gate.ts";
import { gateStub } from "../../stubs.ts";

/**
 * Where projects are: each in its own Gate, and one empty object in R2 for each, so that they can be
 * listed without an object that knows them all. The object is written first: one whose Gate was
 * never opened is no project.
 */

const PREFIX = "projects/";

/** Projects that a setting names and that were taken in by this isolate. */
const adopted = new WeakMap<object, Set<string>>();

/** The Gate of a project, opened if a setting names the project. */
export async function gateOf(env: Env, project: string): Promise<DurableObjectStub<Gate>> {
  const config = readConfig(env);
  if (config.apiKeys.some((key) => key.project === project)) {
    const done = adopted.get(config) ?? new Set();
    adopted.set(config, done);
    if (!done.has(project)) await openProject(env, project, project, {});
    done.add(project);
  }
  return gateStub(env, project);
}

/** Makes a project, if it is not there, and lists it. */
export async function openProject(
  env: Env,
  project: string,
  name: string,
  quotas: Parameters<Gate["open"]>[2],
) {
  await env.FILES.put(`${PREFIX}${project}`, "");
  return gateStub(env, project).open(project, name, quotas);
}

/** Ids of projects behind one of them, and whether there are more. */
export async function listProjects(env: Env, after: string, limit: number) {
  const { apiKeys } = readConfig(env);
  for (const project of new Set(apiKeys.map((key) => key.project))) await gateOf(env, project);
  const page = await env.FILES.list({ prefix: PREFIX, startAfter: `${PREFIX}${after}`, limit });
  const ids = page.objects.map(({ key }) => key.slice(PREFIX.length));
  return { ids, more: page.truncated };
}
