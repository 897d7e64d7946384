import type { Config } from "../config.ts";
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
    background: (work) => ctx.waitUntil(work),
    acquire: (upstream, request) => limiterStub(env, upstream).acquire(request),
    announce: (upstream, ref, wanted) => limiterStub(env, upstream).announce(ref, wanted),
    sendPointers: async (messages) => {
      await env.TASKS.sendBatch(messages);
    },
    fileSize: async (key) => (await env.FILES.head(key))?.size,
    readFile: async (key, offset, length) => {
      const part = await env.FILES.get(key, { range: { offset, length } });
      return part === null ? undefined : new Uint8Array(await part.arrayBuffer());
    },
    registerFiles: async (ref, files, nowMs) => {
      await projectStub(env, ref.project).addOutputFiles(ref.batch_id, files, nowMs);
    },
    deliver: (delivery, secret) => deliver(delivery, secret, config, Date.now, Math.random),
    forget: async (ref) => {
      await projectStub(env, ref.project).removeBatch(ref.batch_id);
      await ctx.storage.deleteAlarm();
      await ctx.storage.deleteAll();
    },
    log: (event) => console.warn(JSON.stringify(event)),
  };
}
