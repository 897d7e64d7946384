import { abortAllDurableObjects, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { SQLSchemaMigrations } from "durable-utils/sql-migrations";
import { describe, expect, it } from "vitest";
import { migrations } from "../../src/batch/migrations.ts";
import type { NewBatch } from "../../src/batch/store/batch-row.ts";
import type { World } from "../../src/batch/world.ts";
import { projectStub } from "../../src/stubs.ts";
import { newSecret } from "../../src/webhooks/sign.ts";
import { until } from "../support/worker/client.ts";
import { drive, receivedAt } from "../support/worker/faults.ts";
import { newBatch, plant, stubOf } from "../support/worker/store.ts";
import { at, deliveriesTo, onReceiver, TestProject } from "../support/worker/webhooks.ts";

/** What becomes of webhooks when something is out of reach, or lost, at the wrong moment. */

const OWN = { webhook_secret: newSecret(new Uint8Array(32).fill(5)) };
const SUCCEEDED = "UPDATE task SET state = 'succeeded'";
const COUNTED = "UPDATE progress SET pending = 0, succeeded = 1";

/** A batch whose last task has its outcome, and that is yet to end. */
async function about(project: TestProject, change: Partial<NewBatch> = {}): Promise<NewBatch> {
  const batch = newBatch({ project: project.name, ...change });
  await plant(batch, ["done"], ({ sql }) => {
    sql.exec(SUCCEEDED);
    sql.exec(COUNTED);
  });
  return batch;
}

const outOfReach = () => Promise.reject(new Error("the Project is out of reach"));

describe("a project that is out of reach when its batch ends", () => {
  it("holds up no webhook of the batch's own, and its endpoints get theirs when it is back", async () => {
    const project = new TestProject();
    const [own, path] = [at("ok"), at("ok")];
    await project.endpoint(onReceiver(path));
    const batch = await about(project, { ...OWN, webhook_url: onReceiver(own) });
    await drive(batch, { endpointsFor: outOfReach }, async ({ engine, alarmAtMs, clock }) => {
      await engine.alarm();
      expect(engine.view()).toMatchObject({ ok: true, value: { status: "completed" } });
      expect(engine.reader.deliveries()).toMatchObject([{ delivery: { state: "delivered" } }]);
      expect(alarmAtMs()).toBeLessThanOrEqual(clock.nowMs + 2_000);
    });
    expect(await receivedAt(own)).toHaveLength(1);
    expect(await receivedAt(path)).toEqual([]);
    await stubOf(batch).poke();
    await deliveriesTo(batch, (all) => all.length === 2 && all.every(isDelivered));
    expect(await receivedAt(own)).toHaveLength(1);
    expect(await receivedAt(path)).toHaveLength(1);
  });

  it("gets the event to its endpoints once although its answer is lost again and again", async () => {
    const project = new TestProject();
    const path = at("ok");
    const { id } = await project.endpoint(onReceiver(path));
    const batch = await about(project);
    let asked = 0;
    const lossy = async () => {
      asked += 1;
      // A stub of the object's own: one made in the test's context is of no use in here.
      const takers = await projectStub(env, project.name).endpointsFor("batch.completed");
      if (asked < 4) throw new Error("the answer was lost");
      return takers;
    };
    await drive(batch, { endpointsFor: lossy }, async ({ engine }) => {
      for (let n = 0; n < 6; n += 1) await engine.alarm();
      expect(asked).toBe(4);
      expect(engine.reader.deliveries()).toMatchObject([{ delivery: { endpoint_id: id } }]);
    });
    expect(await receivedAt(path)).toHaveLength(1);
  });

  it("costs a delivery no attempt when it cannot say how to send it", async () => {
    const project = new TestProject();
    const path = at("ok");
    await project.endpoint(onReceiver(path));
    const batch = await about(project);
    await drive(batch, { endpointTarget: outOfReach }, async ({ engine }) => {
      for (let n = 0; n < 20; n += 1) await engine.alarm();
      expect(engine.reader.deliveries()).toMatchObject([
        { delivery: { state: "due", attempts: 0 } },
      ]);
    });
    await stubOf(batch).poke();
    await deliveriesTo(batch, (all) => all.every(isDelivered));
    expect(await receivedAt(path)).toHaveLength(1);
  });

  it("hears of a 410 when it is back, and disables the endpoint", async () => {
    const project = new TestProject();
    const { id } = await project.endpoint(onReceiver(at("gone")));
    const batch = await about(project);
    await drive(batch, { tellEndpoints: outOfReach }, async ({ engine }) => {
      await engine.alarm();
      expect(engine.reader.deliveries()).toMatchObject([{ delivery: { state: "failed" } }]);
    });
    expect((await project.look(id)).disabled_at).toBeNull();
    await stubOf(batch).poke();
    await until(
      () => project.look(id),
      ({ disabled_at }) => disabled_at !== null,
    );
  });

  it("counts an attempt once that it was told of twice", async () => {
    const project = new TestProject();
    const { id } = await project.endpoint(onReceiver(at("ok")));
    const batch = await about(project);
    let lost = 0;
    const tellEndpoints: World["tellEndpoints"] = async ({ project: name }, attempts) => {
      await projectStub(env, name).noteAttempts(attempts);
      lost += 1;
      if (lost < 3) throw new Error("the answer was lost");
    };
    await drive(batch, { tellEndpoints }, async ({ engine }) => {
      for (let n = 0; n < 5; n += 1) await engine.alarm();
    });
    expect(lost).toBe(3);
    expect(await project.stub.endpointAttempts(id)).toMatchObject({ value: [{ n: 1 }] });
  });
});

describe("a Batch that is lost", () => {
  it("between its end and its announcement announces it all the same", async () => {
    const project = new TestProject();
    const path = at("ok");
    await project.endpoint(onReceiver(path));
    const batch = await about(project);
    // As it is right behind the transaction that ends it: nobody has asked the project yet.
    await drive(batch, { endpointsFor: () => new Promise(() => {}) }, async ({ engine, store }) => {
      void engine.alarm();
      await until(
        () => store.rows.get()?.status,
        (status) => status === "completed",
      );
    });
    await evictDurableObject(stubOf(batch));
    await stubOf(batch).poke();
    await deliveriesTo(batch, (all) => all.length === 1 && all.every(isDelivered));
    expect(await receivedAt(path)).toHaveLength(1);
  });

  it("with its project, while it sends to endpoints, sends to each under the same id", async () => {
    const project = new TestProject();
    const paths = [at("slow"), at("slow")];
    for (const path of paths) await project.endpoint(onReceiver(path));
    const batch = await project.open();
    await until(
      () => receivedAt(paths[0] ?? ""),
      (got) => got.length > 0,
    );
    await abortAllDurableObjects();
    await until(
      // The platform would come back to the alarm by itself.
      () => stubOf(batch).poke(),
      () => true,
    );
    await deliveriesTo(batch, (all) => all.length === 2 && all.every(isDelivered));
    for (const path of paths) {
      const ids = (await receivedAt(path)).map(({ headers }) => headers["webhook-id"]);
      expect(new Set(ids).size).toBe(1);
    }
  });
});

it("sends what was due before deliveries knew of events, under the id they had", async () => {
  const path = at("ok");
  const batch = newBatch({ ...OWN, webhook_url: onReceiver(path) });
  await runInDurableObject(stubOf(batch), async (_, { storage }) => {
    const [first] = migrations;
    if (first === undefined) throw new Error("there are no migrations");
    await new SQLSchemaMigrations({ doStorage: storage, migrations: [first] }).runAll();
    const { sql } = storage;
    const { project, batch_id, created_at, expires_at } = batch;
    sql.exec(
      `INSERT INTO batch (id, project, batch_id, upstream, endpoint, completion_window, on_unknown,
         webhook_secret, status, created_at, expires_at, completed_at)
       VALUES (1, ?, ?, 'default', '/v1/responses', '24h', 'retry', ?, 'completed', ?, ?, ?)`,
      project,
      batch_id,
      OWN.webhook_secret,
      created_at,
      expires_at,
      Date.now(),
    );
    sql.exec("INSERT INTO progress (id) VALUES (1)");
    const body = JSON.stringify({ id: "evt_old", object: "event", type: "batch.completed" });
    sql.exec(
      "INSERT INTO delivery (id, url, body, next_at) VALUES ('evt_old', ?, ?, 0)",
      onReceiver(path),
      body,
    );
  });
  await evictDurableObject(stubOf(batch));
  await stubOf(batch).poke();
  const [one] = await deliveriesTo(batch, (all) => all.some(isDelivered));
  expect(one?.delivery).toMatchObject({ event_id: "evt_old", type: "batch.completed" });
  const got = await receivedAt(path);
  expect(got.map(({ headers }) => headers["webhook-id"])).toEqual(["evt_old"]);
});

function isDelivered({ delivery }: { delivery: { state: string } }): boolean {
  return delivery.state === "delivered";
}
