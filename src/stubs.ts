import type { Batch } from "./batch/batch.ts";
import type { Gate } from "./gate/gate.ts";
import type { Limiter } from "./limiter/limiter.ts";
import type { Project } from "./project/project.ts";
import type { BatchRef } from "./wire/messages.ts";

/** How objects are named. The only place that makes a stub. */

/** A batch's object. The project is part of its name: with another project's id there is nothing. */
export function batchStub(env: Env, ref: BatchRef): DurableObjectStub<Batch> {
  return env.BATCH.getByName(`${ref.project}/${ref.batch_id}`);
}

/** A quota's object. */
export function limiterStub(env: Env, quota: string): DurableObjectStub<Limiter> {
  return env.LIMITER.getByName(quota);
}

/** A project's object. */
export function projectStub(env: Env, project: string): DurableObjectStub<Project> {
  return env.PROJECT.getByName(project);
}

/** A project's door. */
export function gateStub(env: Env, project: string): DurableObjectStub<Gate> {
  return env.GATE.getByName(project);
}
