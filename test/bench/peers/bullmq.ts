import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as wait } from "node:timers/promises";
import { type Job, Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import OpenAI from "openai";
import { freePort } from "../../../src/cli/ports.ts";
import { ATTEMPTS, ask, clientOf } from "./ask.ts";
import type { Body, Order } from "./protocol.ts";
import { rateOf } from "./rate.ts";
import { servePeer } from "./serve.ts";

/** BullMQ on a Redis of its own: the queue with workers that people run as a service. */
const QUEUE = "calls";

await servePeer(async (order) => {
  const port = await startRedis(order.dir);
  const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
  const queue = new Queue<Body, string>(QUEUE, { connection });
  const waiting = new Map<string, PromiseWithResolvers<string>>();
  startWorker(order, connection, waiting);
  return async (bodies) => {
    const jobs = await queue.addBulk(
      bodies.map((data) => ({
        name: "chat",
        data,
        opts: { attempts: ATTEMPTS, backoff: { type: "exponential", delay: 500 } },
      })),
    );
    return jobs.map(({ id = "" }) => slotOf(waiting, id).promise);
  };
});

/** Debian's Redis with its defaults, but for the port and the directory. */
async function startRedis(dir: string): Promise<number> {
  const port = await freePort();
  const server: ChildProcess = spawn(
    "redis-server",
    ["--port", String(port), "--bind", "127.0.0.1", "--dir", dir],
    { stdio: "ignore" },
  );
  process.once("exit", () => server.kill("SIGKILL"));
  const probe = new Redis({ port, host: "127.0.0.1", lazyConnect: true, retryStrategy: null });
  probe.on("error", () => undefined);
  for (let tries = 0; tries < 200; tries += 1) {
    const up = await probe.connect().then(
      () => true,
      () => false,
    );
    if (up) {
      probe.disconnect();
      return port;
    }
    await wait(25);
  }
  throw new Error("redis-server did not start");
}

function startWorker(
  order: Order,
  connection: { host: string; port: number; maxRetriesPerRequest: null },
  waiting: Map<string, PromiseWithResolvers<string>>,
): void {
  const rate = rateOf(order);
  // The queue tries again, so the client does not.
  const client = clientOf(order, 1);
  const worker: Worker<Body, string> = new Worker<Body, string>(
    QUEUE,
    async (job: Job<Body, string>) => {
      try {
        return await ask(client, job.data);
      } catch (error) {
        const restMs = error instanceof OpenAI.RateLimitError ? toldMs(error) : undefined;
        if (restMs === undefined) throw error;
        // As its manual has it for an upstream that says when to come back.
        await worker.rateLimit(restMs);
        throw Worker.RateLimitError();
      }
    },
    {
      connection,
      concurrency: order.lanes,
      ...(rate && { limiter: { max: rate.max, duration: rate.perMs } }),
    },
  );
  worker.on("completed", (job, text) => slotOf(waiting, job.id ?? "").resolve(text));
  worker.on("failed", (job, error) => {
    if (job === undefined || job.attemptsMade < ATTEMPTS) return;
    slotOf(waiting, job.id ?? "").reject(error);
  });
}

function toldMs(error: { headers: Headers }): number | undefined {
  const told = Number(error.headers.get("retry-after-ms") ?? Number.NaN);
  return told > 0 ? told : undefined;
}

function slotOf(
  waiting: Map<string, PromiseWithResolvers<string>>,
  id: string,
): PromiseWithResolvers<string> {
  const slot = waiting.get(id) ?? Promise.withResolvers<string>();
  waiting.set(id, slot);
  return slot;
}
