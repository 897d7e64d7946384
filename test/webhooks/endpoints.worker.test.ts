import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import type { DeliveryHistory } from "../../src/batch/schema.ts";
import type { NewBatch } from "../../src/batch/store/batch-row.ts";
import { newSecret } from "../../src/webhooks/sign.ts";
import type { EventType } from "../../src/wire/event.ts";
import { until } from "../support/worker/client.ts";
import { closedDoor, HOUR_MS, type Received, receivedAt } from "../support/worker/faults.ts";
import { stubOf } from "../support/worker/store.ts";
import {
  at,
  deliveriesTo,
  deliveryTo,
  hastenAll,
  onReceiver,
  TestProject,
} from "../support/worker/webhooks.ts";

const SECRET = newSecret(new Uint8Array(32).fill(9));
const delivered = ({ delivery }: DeliveryHistory) => delivery.state === "delivered";
const failed = ({ delivery }: DeliveryHistory) => delivery.state === "failed";
const attempted =
  (count: number) =>
  ({ attempts }: DeliveryHistory) =>
    attempts.length === count;

const opens = (secret: string, { body, headers }: Received): boolean => {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
};

/** What the receiver got at a path, once there is as much as expected. */
const arrived = (path: string, count = 1): Promise<Received[]> =>
  until(
    () => receivedAt(path),
    (got) => got.length >= count,
  );

describe.concurrent("every end of a batch is sent to the endpoints that take it", () => {
  const ends: [EventType, (project: TestProject) => Promise<NewBatch>][] = [
    ["batch.completed", (project) => project.open()],
    [
      "batch.failed",
      (project) => project.open({ source_key: "files/none", input_file_id: "file-none" }),
    ],
    ["batch.expired", (project) => project.open({ expires_at: Date.now() - 1 })],
    [
      "batch.cancelled",
      async (project) => {
        const batch = await project.open({}, "[hang first]");
        await stubOf(batch).cancel();
        return batch;
      },
    ],
  ];

  it.each(ends)("%s", async (type, end) => {
    const project = new TestProject();
    const [all, its, others] = [at("ok"), at("ok"), at("ok")];
    const first = await project.endpoint(onReceiver(all));
    const second = await project.endpoint(onReceiver(its), [type]);
    const rest = ends.map(([other]) => other).filter((other) => other !== type);
    await project.endpoint(onReceiver(others), rest);
    const batch = await end(project);
    for (const [path, { secret }] of [
      [all, first],
      [its, second],
    ] as const) {
      const [one] = await arrived(path);
      if (one === undefined) throw new Error("nothing arrived");
      expect(new Webhook(secret).verify(one.body, one.headers)).toEqual({
        id: one.headers["webhook-id"],
        object: "event",
        type,
        created_at: expect.any(Number),
        data: { id: batch.batch_id },
      });
    }
    const both = await deliveriesTo(batch, (found) => found.every(delivered));
    expect(both.map(({ delivery }) => delivery.endpoint_id)).toEqual([first.id, second.id]);
    expect(await receivedAt(others)).toEqual([]);
  });

  it("beside its own webhook, under one webhook-id, each signed with its own secret", async () => {
    const project = new TestProject();
    const [own, other] = [at("ok"), at("ok")];
    const { id, secret } = await project.endpoint(onReceiver(other));
    const batch = await project.open({ webhook_url: onReceiver(own), webhook_secret: SECRET });
    const [[mine], [theirs]] = await Promise.all([arrived(own), arrived(other)]);
    if (mine === undefined || theirs === undefined) throw new Error("nothing arrived");
    expect(mine.headers["webhook-id"]).toBe(theirs.headers["webhook-id"]);
    expect([opens(SECRET, mine), opens(secret, mine)]).toEqual([true, false]);
    expect([opens(SECRET, theirs), opens(secret, theirs)]).toEqual([false, true]);
    const event = mine.headers["webhook-id"] ?? "";
    const all = await deliveriesTo(batch, (found) => found.every(delivered));
    expect(all.map(({ delivery }) => delivery.id)).toEqual([event, `${event}_${id}`]);
  });

  it("again after a retry, under another id", async () => {
    const project = new TestProject();
    const path = at("ok");
    await project.endpoint(onReceiver(path));
    const batch = await project.open({}, "[400]");
    await arrived(path);
    await stubOf(batch).retry({});
    const got = await arrived(path, 2);
    expect(new Set(got.map(({ headers }) => headers["webhook-id"])).size).toBe(2);
  });

  it("and to no endpoint of another project", async () => {
    const [mine, theirs] = [new TestProject(), new TestProject()];
    const path = at("ok");
    await theirs.endpoint(onReceiver(path));
    const done = at("ok");
    await mine.open({ webhook_url: onReceiver(done), webhook_secret: SECRET });
    await arrived(done);
    expect(await receivedAt(path)).toEqual([]);
  });

  it("a hung receiver holds up no other", async () => {
    const project = new TestProject();
    const paths = [at("hung"), ...Array.from({ length: 9 }, () => at("ok"))];
    for (const path of paths) await project.endpoint(onReceiver(path));
    const batch = await project.open();
    for (const path of paths) await arrived(path);
    // The hung one is given up on after 15 s: it is still under way.
    const all = await stubOf(batch).deliveries();
    expect(all.map(({ attempts }) => attempts.length)).toContain(0);
  });
});

describe.concurrent("an endpoint that changes while a delivery is due", () => {
  /** A project with a batch whose delivery to its one endpoint has failed once. */
  async function waiting(url?: string) {
    const project = new TestProject();
    const endpoint = await project.endpoint(url ?? (await closedDoor()));
    const batch = await project.open();
    const first = await deliveryTo(batch, endpoint.id, attempted(1));
    expect(first.delivery.state).toBe("due");
    return { project, batch, ...endpoint };
  }

  it("in its URL gets it there", async () => {
    const { project, batch, id } = await waiting();
    const path = at("ok");
    await project.stub.updateEndpoint(id, { url: onReceiver(path) });
    await hastenAll(batch);
    const { delivery } = await deliveryTo(batch, id, delivered);
    expect(delivery.url).toBe(onReceiver(path));
    expect(await receivedAt(path)).toHaveLength(1);
  });

  it("in its URL is checked again before it is sent there", async () => {
    const { project, batch, id } = await waiting();
    await project.stub.updateEndpoint(id, { url: "http://169.254.169.254/latest/meta-data" });
    await hastenAll(batch);
    const { delivery } = await deliveryTo(batch, id, failed);
    expect(delivery.last_error).toMatch(/169\.254\.169\.254, a link-local address/);
    expect(delivery.last_status).toBeNull();
  });

  it("by a rotation that keeps the old secret is signed with both", async () => {
    const path = at("flaky");
    const { project, batch, id, secret } = await waiting(onReceiver(path));
    const rotated = await project.stub.rotateEndpointSecret(id, true);
    if (!rotated.ok) throw new Error(rotated.problem.message);
    await hastenAll(batch);
    const [before, after] = await arrived(path, 2);
    if (before === undefined || after === undefined) throw new Error("nothing arrived");
    expect([opens(secret, before), opens(rotated.value.secret, before)]).toEqual([true, false]);
    expect([opens(secret, after), opens(rotated.value.secret, after)]).toEqual([true, true]);
    expect(after.headers["webhook-signature"]?.split(" ")).toHaveLength(2);
  });

  it("by a rotation whose 24 hours are over is signed with the new secret alone", async () => {
    const path = at("flaky");
    const { project, batch, id, secret } = await waiting(onReceiver(path));
    const rotated = await project.stub.rotateEndpointSecret(id, true);
    if (!rotated.ok) throw new Error(rotated.problem.message);
    await project.ageSecrets(24 * HOUR_MS);
    await hastenAll(batch);
    const [, after] = await arrived(path, 2);
    if (after === undefined) throw new Error("nothing arrived");
    expect([opens(secret, after), opens(rotated.value.secret, after)]).toEqual([false, true]);
  });

  it("by a rotation that does not keep the old secret is signed with the new one alone", async () => {
    const path = at("flaky");
    const { project, batch, id, secret } = await waiting(onReceiver(path));
    await project.stub.rotateEndpointSecret(id, true);
    const rotated = await project.stub.rotateEndpointSecret(id, false);
    if (!rotated.ok) throw new Error(rotated.problem.message);
    await hastenAll(batch);
    const [, after] = await arrived(path, 2);
    if (after === undefined) throw new Error("nothing arrived");
    expect([opens(secret, after), opens(rotated.value.secret, after)]).toEqual([false, true]);
    expect(after.headers["webhook-signature"]?.split(" ")).toHaveLength(1);
  });

  it.each([
    [
      "by being deleted",
      (project: TestProject, id: string) => project.stub.removeEndpoint(id),
      "The endpoint was deleted.",
    ],
    [
      "by being disabled",
      (project: TestProject, id: string) =>
        project.stub.updateEndpoint(id, { muster: { enabled: false } }),
      "The endpoint is disabled. Disabled by an update.",
    ],
    [
      "in its event types",
      (project: TestProject, id: string) =>
        project.stub.updateEndpoint(id, { event_types: ["batch.expired"] }),
      "The endpoint does not take batch.completed any more.",
    ],
  ])("%s gets nothing more", async (_, change, reason) => {
    const path = at("flaky");
    const { project, batch, id } = await waiting(onReceiver(path));
    await change(project, id);
    await hastenAll(batch);
    const { delivery, attempts } = await deliveryTo(batch, id, failed);
    expect(delivery.last_error).toBe(reason);
    expect(attempts).toHaveLength(1);
    expect(await receivedAt(path)).toHaveLength(1);
  });
});

describe.concurrent("an endpoint that answers", () => {
  it("410 is disabled for all batches, until it is enabled", async () => {
    const project = new TestProject();
    const { id } = await project.endpoint(onReceiver(at("gone")));
    const batch = await project.open();
    await deliveryTo(batch, id, failed);
    const endpoint = await until(
      () => project.look(id),
      ({ disabled_at }) => disabled_at !== null,
    );
    expect(endpoint.disabled_reason).toMatch(/410 Gone/);
    const done = at("ok");
    const later = await project.open({ webhook_url: onReceiver(done), webhook_secret: SECRET });
    await arrived(done);
    expect(await stubOf(later).deliveries()).toHaveLength(1);

    const path = at("ok");
    await project.stub.updateEndpoint(id, { url: onReceiver(path) });
    const [one] = await stubOf(batch).deliveries();
    await stubOf(batch).resend(one?.delivery.id ?? "");
    await deliveryTo(batch, id, delivered);
    expect(await receivedAt(path)).toHaveLength(1);
  });

  it("410 to what was sent before it was changed stays enabled", async () => {
    const project = new TestProject();
    const { id } = await project.endpoint(onReceiver(at("ok")));
    const old = { endpointId: id, batchId: "b", deliveryId: "d", n: 1, eventId: "e" } as const;
    const came = { startedMs: Date.now() - 1000, tookMs: 1, status: 410, error: "Gone." };
    const more = { type: "batch.completed", nextMs: null, restUntilMs: 0 } as const;
    await project.stub.noteAttempts([{ ...old, ...came, ...more }]);
    expect((await project.look(id)).disabled_at).toBeNull();
    await project.stub.noteAttempts([{ ...old, n: 2, ...came, startedMs: Date.now(), ...more }]);
    expect((await project.look(id)).disabled_at).not.toBeNull();
  });

  it("429 with a retry-after is left alone that long by all batches", async () => {
    const project = new TestProject();
    const path = at("busy");
    const { id } = await project.endpoint(onReceiver(path));
    const first = await deliveryTo(await project.open(), id, attempted(1));
    expect(first.delivery.next_at - Date.now()).toBeGreaterThan(1.9 * HOUR_MS);
    await until(
      () => project.look(id),
      ({ rest_until }) => rest_until > 0,
    );
    const own = at("ok");
    const other = await project.open({ webhook_url: onReceiver(own), webhook_secret: SECRET });
    await arrived(own);
    const second = await deliveryTo(other, id, ({ delivery }) => {
      return delivery.next_at - Date.now() > 1.9 * HOUR_MS;
    });
    expect(second).toMatchObject({ delivery: { state: "due", attempts: 0 }, attempts: [] });
    expect(await receivedAt(path)).toHaveLength(1);
  });

  it.each([502, 504, 429])("%i is left alone for a minute", async (status) => {
    const project = new TestProject();
    const { id } = await project.endpoint(onReceiver(at(`status/${status}`)));
    const { delivery } = await deliveryTo(await project.open(), id, attempted(1));
    expect(delivery.next_at - Date.now()).toBeGreaterThan(50_000);
    const { rest_until } = await until(
      () => project.look(id),
      (endpoint) => endpoint.rest_until > 0,
    );
    expect(rest_until - Date.now()).toBeGreaterThan(50_000);
  });

  it.each([
    ["429 with 120 seconds", 429, "120", 120_000],
    ["502 with 90 seconds", 502, "90", 90_000],
    ["503 with 90 seconds", 503, "90", 90_000],
    ["504 with 90 seconds", 504, "90", 90_000],
    ["429 with a date", 429, () => new Date(Date.now() + HOUR_MS).toUTCString(), HOUR_MS],
    ["429 with a month, of which it is a day", 429, "2592000", 24 * HOUR_MS],
  ])("%s in its retry-after is left alone as long", async (_, status, value, restMs) => {
    const project = new TestProject();
    const after = encodeURIComponent(typeof value === "string" ? value : value());
    const { id } = await project.endpoint(onReceiver(at(`after/${status}/${after}`)));
    const { delivery } = await deliveryTo(await project.open(), id, attempted(1));
    const waitMs = delivery.next_at - Date.now();
    expect(waitMs).toBeGreaterThan(restMs - 5_000);
    expect(waitMs).toBeLessThanOrEqual(restMs + 1_000);
    const { rest_until } = await until(
      () => project.look(id),
      (endpoint) => endpoint.rest_until > 0,
    );
    expect(Math.abs(rest_until - delivery.next_at)).toBeLessThan(1_000);
  });

  it("with a retry-after shorter than its turn in the schedule is left alone that long", async () => {
    const project = new TestProject();
    const { id } = await project.endpoint(onReceiver(at("after/429/1")));
    const { delivery } = await deliveryTo(await project.open(), id, attempted(1));
    expect(delivery.next_at - Date.now()).toBeGreaterThan(3_000);
  });

  it.each([301, 400, 401, 404, 500, 503])("%i is tried again by the schedule", async (status) => {
    const project = new TestProject();
    const { id } = await project.endpoint(onReceiver(at(`status/${status}`)));
    const { delivery, attempts } = await deliveryTo(await project.open(), id, attempted(1));
    expect(delivery).toMatchObject({ state: "due", last_status: status });
    const [first] = attempts;
    const waitMs = (first?.next_at ?? 0) - (first?.started_at ?? 0) - (first?.took_ms ?? 0);
    expect(waitMs).toBeGreaterThanOrEqual(4_000);
    expect(waitMs).toBeLessThan(6_100);
    expect((await project.look(id)).rest_until).toBe(0);
  });
});

describe.concurrent("a batch's own webhook that answered 410", () => {
  it("is not sent a later event, unless somebody sends it", async () => {
    const project = new TestProject();
    const path = at("gone");
    const own = { webhook_url: onReceiver(path), webhook_secret: SECRET };
    const batch = await project.open(own, "[400]");
    await deliveriesTo(batch, (all) => all.some(failed));
    await stubOf(batch).retry({});
    const all = await deliveriesTo(batch, (found) => found.length === 2);
    expect(all[1]).toMatchObject({ delivery: { state: "failed", attempts: 0 }, attempts: [] });
    expect(all[1]?.delivery.last_error).toMatch(/410 to an earlier event/);
    expect(await receivedAt(path)).toHaveLength(1);
    await stubOf(batch).resend(all[1]?.delivery.id ?? "");
    await arrived(path, 2);
  });
});
