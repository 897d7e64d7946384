import type { Config } from "../config.ts";
import { log } from "../log.ts";
import { limiterStub, projectStub } from "../stubs.ts";
import { deliver } from "../webhooks/deliver.ts";
import type { World } from "./world.ts";

/** The world as it is on the platform: clock, chance, alarm, queue, R2, the other objects. */
export function platformWorld(ctx: DurableObjectState, env: Env, config: Config): World {
  return {
    nowMs: () => Date.now(),
    random: () => Math.random(),
    // Not awaited: the alarm commits together with the writes of the same turn.
    setAlarm: (atMs) => void ctx.storage.setAlarm(atMs),
    deleteAlarm: () => void ctx.storage.deleteAlarm(),
    // Not a microtask: those, and even R2's answers, come before the events that wait at the gate.
    breathe: () => new Promise((resolve) => setTimeout(resolve, 0)),
    background: (work) => ctx.waitUntil(work),
    acquire: (request) => within(LIMITER_MS, limiterStub(env, request.quota).acquire(request)),
    announce: (quota, ref, weight, wanted) =>
      limiterStub(env, quota).announce(ref, weight, wanted, quota),
    sendPointers: async (messages) => {
      await env.TASKS.sendBatch(messages);
    },
    fileSize: async (key) => (await env.FILES.head(key))?.size,
    readFile: async (key, offset, length) => {
      const part = await env.FILES.get(key, { range: { offset, length } });
      return part === null ? undefined : new Uint8Array(await part.arrayBuffer());
    },
    tellProject: async (ref, digest) => {
      await projectStub(env, ref.project).noteBatch(ref.batch_id, digest);
    },
    registerFiles: async (ref, files, nowMs) => {
      await projectStub(env, ref.project).addOutputFiles(ref.batch_id, files, nowMs);
    },
    endpointsFor: (ref, type) => projectStub(env, ref.project).endpointsFor(type),
    endpointTarget: (ref, endpointId, type) =>
      projectStub(env, ref.project).endpointTarget(endpointId, type),
    tellEndpoints: (ref, attempts) => projectStub(env, ref.project).noteAttempts(attempts),
    deliver: ({ event_id, body, attempts }, target) =>
      deliver({ id: event_id, body }, attempts, target, config, Date.now, Math.random),
    forget: async (ref) => {
      await projectStub(env, ref.project).removeBatch(ref.batch_id);
      await ctx.storage.deleteAlarm();
      await ctx.storage.deleteAll();
    },
    log,
  };
}

/** A Limiter that has not answered by then is taken for out of reach, and asked again. */
const LIMITER_MS = 15_000;

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not answered within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
