import type { EndpointTarget } from "../project/endpoint-rpc.ts";
import type { BatchRow, DeliveryRow } from "./schema.ts";
import type { Store } from "./store/store.ts";
import type { World } from "./world.ts";

/**
 * Sending what the end of a batch has to be told to. Each step commits by itself and can be
 * repeated: an event becomes deliveries once, a delivery is sent until it is recorded, an attempt
 * is told to the Project until it has heard of it.
 */

/** Webhooks that are sent at once: an invocation has six connections, and one speaks to others. */
const AT_ONCE = 5;
/** After this long nothing new is begun: the rest of the sweep has its turn. */
const TURN_MS = 20_000;
/** Attempts told in one call. */
const TOLD_AT_ONCE = 100;
/** Deliveries that wait for one receiver's rest to end start within this time after it. */
const SPREAD_MS = 30_000;

/**
 * Does what is due of a batch's webhooks. What one of them runs into holds up none of the others.
 *
 * @returns whether there may be more.
 * @throws what the first failure was, after everything else is done.
 */
export async function sendWebhooks(store: Store, world: World, row: BatchRow): Promise<boolean> {
  const taken = new Set<string>();
  const done = await Promise.allSettled([
    announceToEndpoints(store, world, row),
    ...Array.from({ length: AT_ONCE }, () => sendInTurn(store, world, row, taken)),
  ]);
  done.push(...(await Promise.allSettled([tellAttempts(store, world, row)])));
  for (const one of done) if (one.status === "rejected") throw one.reason;
  return done.some((one) => one.status === "fulfilled" && one.value);
}

/**
 * Sends one due delivery after the other, each that nobody has taken: a receiver that is slow delays
 * this turn of several and no other. What fails is taken, too, so that a turn goes on behind it.
 */
async function sendInTurn(
  store: Store,
  world: World,
  row: BatchRow,
  taken: Set<string>,
): Promise<boolean> {
  const startedMs = world.nowMs();
  const failures: unknown[] = [];
  let sent = false;
  while (world.nowMs() - startedMs < TURN_MS) {
    const due = store.deliveries.due(world.nowMs(), taken.size + 1);
    const next = due.find(({ id }) => !taken.has(id));
    if (next === undefined) break;
    taken.add(next.id);
    try {
      await sendOne(store, world, row, next);
      sent = true;
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return sent;
}

/** Makes the deliveries of an event to the project's endpoints. */
async function announceToEndpoints(store: Store, world: World, row: BatchRow): Promise<boolean> {
  const event = store.deliveries.unannounced();
  if (event === undefined) return false;
  const endpoints = await world.endpointsFor(refOf(row), event.type);
  store.transaction(() => store.deliveries.announce(event, endpoints, world.nowMs()));
  return true;
}

async function sendOne(
  store: Store,
  world: World,
  row: BatchRow,
  delivery: DeliveryRow,
): Promise<void> {
  // Asked at each attempt: its URL, its secrets, and whether it is still there.
  const target = await targetOf(world, row, delivery);
  if (!target.open) {
    store.deliveries.stop(delivery, target.reason);
    return;
  }
  if (target.restUntilMs > world.nowMs()) {
    const spreadMs = Math.floor(world.random() * SPREAD_MS);
    store.deliveries.postpone(delivery, target.restUntilMs + spreadMs);
    return;
  }
  const sent = await world.deliver(delivery, target);
  store.transaction(() => store.deliveries.attempted(delivery, target.url, sent));
  const { id, endpoint_id: endpoint, attempts } = delivery;
  const { status } = sent;
  const said = { batch: row.batch_id, delivery: id, endpoint, attempt: attempts + 1, status };
  world.log({ event: "delivery_attempted", ...said });
}

async function targetOf(
  world: World,
  row: BatchRow,
  { endpoint_id, type, url }: DeliveryRow,
): Promise<EndpointTarget> {
  if (endpoint_id !== null) return world.endpointTarget(refOf(row), endpoint_id, type);
  const { webhook_secret } = row;
  return {
    open: true,
    url,
    secrets: webhook_secret === null ? [] : [webhook_secret],
    restUntilMs: 0,
  };
}

/** Tells the Project how sending to its endpoints went: a 410 disables one for all batches. */
async function tellAttempts(store: Store, world: World, row: BatchRow): Promise<boolean> {
  const untold = store.deliveries.untold(TOLD_AT_ONCE);
  if (untold.length === 0) return false;
  const attempts = untold.map((attempt) => ({
    endpointId: attempt.endpoint_id,
    batchId: row.batch_id,
    deliveryId: attempt.delivery_id,
    n: attempt.n,
    eventId: attempt.event_id,
    type: attempt.type,
    startedMs: attempt.started_at,
    tookMs: attempt.took_ms,
    status: attempt.status,
    error: attempt.error,
    nextMs: attempt.next_at,
    restUntilMs: attempt.rest_until,
  }));
  await world.tellEndpoints(refOf(row), attempts);
  store.transaction(() => store.deliveries.told(untold));
  return true;
}

function refOf({ project, batch_id }: BatchRow) {
  return { project, batch_id };
}
