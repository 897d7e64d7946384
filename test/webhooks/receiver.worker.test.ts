import { abortAllDurableObjects } from "cloudflare:test";
import { Webhook } from "standardwebhooks";
import { describe, expect, inject, it } from "vitest";
import { newSecret } from "../../src/webhooks/sign.ts";
import type { DeliveryObject } from "../../src/wire/delivery.ts";
import { ended, look, open, unique, until } from "../support/worker/client.ts";
import {
  closedDoor,
  deliveryOf,
  HOUR_MS,
  hasten,
  openDoor,
  type Received,
  receivedAt,
} from "../support/worker/faults.ts";
import { newBatch, plant, stubOf } from "../support/worker/store.ts";

const MINUTE_MS = 60_000;
const SECRET = newSecret(new Uint8Array(32).fill(7));

/** A path of a receiver of this kind that no other test has. */
const at = (kind: string) => `/${kind}/${crypto.randomUUID()}`;

/** Opens a batch with one task and a webhook, and waits until the batch has ended. */
async function announcedTo(url: string): Promise<string> {
  const webhook = { url, secret: SECRET };
  const { id } = await open({ model: "m", prompts: [unique("announced")], webhook });
  await ended(id);
  return id;
}

const onReceiver = (path: string) => announcedTo(`${inject("receiverUrl")}${path}`);
const attempted = (count: number) => (one: DeliveryObject) => one.attempts.length === count;
const idOf = ({ headers }: Received) => headers["webhook-id"];

/** How long the receiver is left alone after the last attempt. */
function waitOf({ attempts, next_attempt_at }: DeliveryObject): number {
  const last = attempts.at(-1);
  const overMs = Date.parse(last?.started_at ?? "") + (last?.duration_ms ?? Number.NaN);
  return Date.parse(next_attempt_at ?? "") - overMs;
}

/** What a wait of the schedule may be: a fifth shorter or longer. */
function expectAbout(waitsMs: number, scheduledMs: number): void {
  expect(waitsMs).toBeGreaterThanOrEqual(scheduledMs * 0.8 - 1);
  expect(waitsMs).toBeLessThanOrEqual(scheduledMs * 1.2 + 1);
}

describe.concurrent("a receiver that takes the webhook", () => {
  it("gets it once, signed, and the delivery is recorded", async () => {
    const path = at("ok");
    const id = await onReceiver(path);
    const delivery = await deliveryOf(id, ({ state }) => state === "delivered");
    expect(delivery).toMatchObject({
      attempts: [{ status_code: 200, error: null, next_attempt_at: null }],
      last_status: 200,
      last_error: null,
      next_attempt_at: null,
    });
    const got = await receivedAt(path);
    expect(got.map(idOf)).toEqual([delivery.id]);
    const [first] = got;
    expect(new Webhook(SECRET).verify(first?.body ?? "", first?.headers ?? {})).toMatchObject({
      type: "batch.completed",
      data: { id },
    });
  });

  it("slowly is waited for, and not called a second time", async () => {
    const path = at("slow");
    const id = await onReceiver(path);
    const { attempts } = await deliveryOf(id, ({ state }) => state === "delivered");
    expect(attempts).toHaveLength(1);
    expect(attempts[0]?.duration_ms).toBeGreaterThan(500);
    expect(await receivedAt(path)).toHaveLength(1);
  });

  it("slowly holds up no batch but its own", async () => {
    const id = await onReceiver(at("slow"));
    const other = await open({ model: "m", prompts: [unique("meanwhile")] });
    expect((await ended(other.id)).status).toBe("completed");
    await deliveryOf(id, ({ state }) => state === "delivered");
  });
});

describe.concurrent("a receiver that is down", () => {
  it("is tried after about 5 s, then 5 min, then 30 min, and gets the webhook once it is up", async () => {
    const door = await closedDoor();
    const path = at("ok");
    const id = await announcedTo(`${door}${path}`);
    const first = await deliveryOf(id, attempted(1));
    expect(first).toMatchObject({ state: "due", last_status: null });
    expect(first.last_error).not.toBeNull();
    expectAbout(waitOf(first), 5_000);
    await hasten(id);
    expectAbout(waitOf(await deliveryOf(id, attempted(2))), 5 * MINUTE_MS);
    await hasten(id);
    expectAbout(waitOf(await deliveryOf(id, attempted(3))), 30 * MINUTE_MS);
    await openDoor(door);
    await hasten(id);
    const last = await deliveryOf(id, ({ state }) => state !== "due");
    expect(last).toMatchObject({ state: "delivered", last_error: null });
    expect(last.attempts).toHaveLength(4);
    expect(await receivedAt(path)).toHaveLength(1);
  });

  it("for all ten attempts, about three days, has its delivery failed and not forgotten", async () => {
    const id = await announcedTo(`${await closedDoor()}${at("ok")}`);
    for (let n = 1; n < 10; n += 1) {
      await deliveryOf(id, attempted(n));
      await hasten(id);
    }
    const last = await deliveryOf(id, attempted(10));
    expect(last).toMatchObject({ state: "failed", next_attempt_at: null });
    expect((await look(id)).status).toBe("completed");
  });

  it("for one attempt gets the same webhook-id at the next, with a signature of its own time", async () => {
    const path = at("flaky");
    const id = await onReceiver(path);
    expect(await deliveryOf(id, attempted(1))).toMatchObject({ state: "due", last_status: 503 });
    await hasten(id);
    await deliveryOf(id, ({ state }) => state === "delivered");
    const got = await receivedAt(path);
    expect(new Set(got.map(idOf)).size).toBe(1);
    expect(got).toHaveLength(2);
    for (const { body, headers } of got) new Webhook(SECRET).verify(body, headers);
  });

  it("is tried again by itself, without anybody asking", async () => {
    const path = at("flaky");
    const id = await onReceiver(path);
    await deliveryOf(id, ({ state }) => state === "delivered", 15_000);
    expect(await receivedAt(path)).toHaveLength(2);
  });
});

describe.concurrent("a receiver that answers", () => {
  it("410 is not tried again", async () => {
    const path = at("gone");
    const id = await onReceiver(path);
    const delivery = await deliveryOf(id, ({ state }) => state === "failed");
    expect(delivery).toMatchObject({ last_status: 410, next_attempt_at: null });
    expect(delivery.attempts).toHaveLength(1);
    await hasten(id);
    expect(await receivedAt(path)).toHaveLength(1);
  });

  it("with a redirect has failed, and where it points to hears nothing", async () => {
    const path = at("moved");
    const id = await onReceiver(path);
    const delivery = await deliveryOf(id, attempted(1));
    expect(delivery).toMatchObject({ state: "due", last_status: 302 });
    expect(await receivedAt(path)).toHaveLength(1);
    expect(await receivedAt(path.replace("/moved/", "/ok/"))).toEqual([]);
  });

  it("429 with a retry-after is left alone for as long as it said", async () => {
    const id = await onReceiver(at("busy"));
    const delivery = await deliveryOf(id, attempted(1));
    expect(delivery).toMatchObject({ state: "due", last_status: 429 });
    expectAbout(waitOf(delivery), 2 * HOUR_MS);
    expect(waitOf(delivery)).toBeGreaterThan(2 * HOUR_MS - MINUTE_MS);
    await hasten(id);
    const { attempts } = await deliveryOf(id, ({ state }) => state === "delivered");
    expect(attempts.map(({ status_code }) => status_code)).toEqual([429, 200]);
  });

  it("never is given up on after 15 s and tried again", async () => {
    const id = await onReceiver(at("hung"));
    const delivery = await deliveryOf(id, attempted(1));
    expect(delivery).toMatchObject({ state: "due", last_status: null });
    expectAbout(waitOf(delivery), 5_000);
  });
});

describe("a Batch that is lost", () => {
  it("between its end and its webhook sends the webhook all the same", async () => {
    const path = at("ok");
    const webhook = { webhook_url: `${inject("receiverUrl")}${path}`, webhook_secret: SECRET };
    const batch = newBatch(webhook);
    // As it is when the object is lost right behind the transaction that ended the batch.
    await plant(batch, [unique("announced")], (store) => {
      store.sql.exec("UPDATE task SET state = 'succeeded'");
      store.counts.add({ pending: -1, succeeded: 1 });
      store.rows.stop("completed");
      store.rows.finalize(Date.now());
      store.rows.end("completed", "", Date.now());
      const event = { id: "evt_planted", object: "event", type: "batch.completed" } as const;
      const more = { created_at: 1, data: { id: batch.batch_id } };
      store.deliveries.add({ ...event, ...more }, webhook.webhook_url, Date.now());
    });
    await stubOf(batch).poke();
    await deliveryOf(batch.batch_id, ({ state }) => state === "delivered");
    expect((await receivedAt(path)).map(idOf)).toEqual(["evt_planted"]);
  });

  it("while it sends sends again, under the same id", async () => {
    const path = at("slow");
    const webhook = { url: `${inject("receiverUrl")}${path}`, secret: SECRET };
    const { id } = await open({ model: "m", prompts: [unique("aborted")], webhook });
    await until(
      () => receivedAt(path),
      (got) => got.length === 1,
    );
    await abortAllDurableObjects();
    // The platform would come back to the alarm by itself.
    await hasten(id);
    const delivery = await deliveryOf(id, ({ state }) => state === "delivered");
    expect(new Set((await receivedAt(path)).map(idOf))).toEqual(new Set([delivery.id]));
  });
});
