import {
  createExecutionContext,
  createMessageBatch,
  getQueueResult,
  runInDurableObject,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { inject } from "vitest";
import { Engine } from "../../../src/batch/engine.ts";
import type { ExchangeReply, ExchangeRequest } from "../../../src/batch/exchange.ts";
import { platformWorld } from "../../../src/batch/platform-world.ts";
import type { NewBatch } from "../../../src/batch/store/batch-row.ts";
import { Store } from "../../../src/batch/store/store.ts";
import type { World } from "../../../src/batch/world.ts";
import { readConfig } from "../../../src/config.ts";
import { handleQueue } from "../../../src/consumer/handler.ts";
import type { DeliveryObject } from "../../../src/wire/delivery.ts";
import type { TaskObject } from "../../../src/wire/task.ts";
import type {} from "../provided.ts";
import { call, digestOf, until } from "./client.ts";
import { newBatch, stubOf } from "./store.ts";

export const TASKS_QUEUE = "muster-tasks";
export const DEAD_QUEUE = "muster-tasks-dead";
export const HOUR_MS = 3_600_000;

/** A batch's pointer. */
export function pointerTo(batch: NewBatch) {
  return { v: 1, project: batch.project, batch_id: batch.batch_id } as const;
}

/** Delivers messages to the queue's handler, and waits until it is done with them. */
export async function deliver(queue: string, ...bodies: unknown[]) {
  const messages = bodies.map((body, index) => ({
    id: `m${index}`,
    timestamp: new Date(),
    attempts: 1,
    body,
  }));
  const messageBatch = createMessageBatch(queue, messages);
  const context = createExecutionContext();
  await handleQueue(messageBatch, env, context);
  return getQueueResult(messageBatch, context);
}

/** What the upstream has seen of a prompt: `calls` that arrived, `answers` sent to the last byte. */
export async function upstreamOf(prompt: string): Promise<{ calls: number; answers: number }> {
  const digest = (await digestOf(prompt)).slice("digest:".length);
  const response = await fetch(new URL(`/_sim/prompts/${digest}`, inject("upstreamUrl")));
  return response.json();
}

/** Calls that arrived at the upstream, over several prompts. */
export async function callsOf(prompts: readonly string[]): Promise<number[]> {
  const seen = await Promise.all(prompts.map(upstreamOf));
  return seen.map(({ calls }) => calls);
}

/** One exchange with a batch's object. What is not said is nothing. */
export function say(
  batch: NewBatch,
  said: Pick<ExchangeRequest, "holder"> & Partial<ExchangeRequest>,
): Promise<ExchangeReply> {
  return stubOf(batch).exchange({ ...SILENCE, ...said });
}

/** An exchange that says and wants nothing. */
export const SILENCE = { invited: false, reports: [], holding: [], want: 0, leaving: false };

/** What happened to a task. */
export async function taskOf(batchId: string, customId = "task-0"): Promise<TaskObject> {
  const path = `/v1/batches/${batchId}/tasks/${encodeURIComponent(customId)}`;
  const response = await call(path);
  if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** An engine of a test's own, and what it said to its world. */
export interface Driven {
  engine: Engine;
  store: Store;
  world: World;
  /** The world's time; a test moves it. */
  clock: { nowMs: number };
  /** When the alarm is set for. */
  alarmAtMs(): number | undefined;
  logged: Record<string, unknown>[];
}

/**
 * Runs an engine over a planted batch's own storage, in a world like the platform's but for the
 * clock, the alarm (which the test rings) and what `change` replaces. The object's own engine
 * sleeps meanwhile: nobody calls it, and its alarm is not set.
 */
export function drive<R>(
  batch: NewBatch,
  change: Partial<World>,
  then: (driven: Driven) => Promise<R>,
): Promise<R> {
  return runInDurableObject(stubOf(batch), (_, state) => {
    const config = readConfig(env);
    const store = new Store(state.storage);
    const clock = { nowMs: Date.now() };
    const logged: Record<string, unknown>[] = [];
    let alarmAtMs: number | undefined;
    const world: World = {
      ...platformWorld(state, env, config),
      nowMs: () => clock.nowMs,
      setAlarm: (atMs) => {
        alarmAtMs = atMs;
      },
      deleteAlarm: () => {
        alarmAtMs = undefined;
      },
      background: (work) => void work,
      log: (event) => void logged.push(event),
      ...change,
    };
    const engine = new Engine(store, world, config, undefined);
    return then({ engine, store, world, clock, alarmAtMs: () => alarmAtMs, logged });
  });
}

/** What the receiver got at a path. */
export async function receivedAt(path: string): Promise<Received[]> {
  const response = await fetch(`${inject("receiverUrl")}/received`);
  const all: Received[] = await response.json();
  return all.filter((one) => one.path === path);
}

/** One request as the receiver got it; see support/receiver.ts. */
export interface Received {
  path: string;
  headers: Record<string, string>;
  body: string;
}

/** The URL of a receiver where nobody listens yet; {@link openDoor} changes that. */
export async function closedDoor(): Promise<string> {
  const response = await fetch(`${inject("receiverUrl")}/doors`, { method: "POST" });
  const door: { url: string } = await response.json();
  return door.url;
}

/** From now on the receiver listens there. */
export async function openDoor(url: string): Promise<void> {
  const { port } = new URL(url);
  const response = await fetch(`${inject("receiverUrl")}/doors/${port}`, { method: "POST" });
  if (!response.ok) throw new Error(`the door ${url} did not open`);
}

/** The deliveries of a batch. */
export async function deliveriesOf(batchId: string): Promise<DeliveryObject[]> {
  const response = await call(`/v1/batches/${batchId}/deliveries`);
  const list: { data: DeliveryObject[] } = await response.json();
  return list.data;
}

/** The one delivery of a batch, once a condition holds. */
export async function deliveryOf(
  batchId: string,
  good: (delivery: DeliveryObject) => boolean,
  timeoutMs?: number,
): Promise<DeliveryObject> {
  const [delivery] = await until(
    () => deliveriesOf(batchId),
    ([first]) => first !== undefined && good(first),
    timeoutMs,
  );
  if (delivery === undefined) throw new Error("a delivery was seen and is gone");
  return delivery;
}

/** Makes what waits for its next attempt due now, instead of waiting for it. */
export async function hasten(batchId: string): Promise<void> {
  const stub = stubOf(newBatch({ batch_id: batchId }));
  await runInDurableObject(stub, (_, { storage }) => {
    storage.sql.exec("UPDATE delivery SET next_at = ? WHERE state = 'due'", Date.now());
  });
  await stub.poke();
}
