import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { inject } from "vitest";
import type { DeliveryHistory } from "../../../src/batch/schema.ts";
import type { NewBatch } from "../../../src/batch/store/batch-row.ts";
import type { Project } from "../../../src/project/project.ts";
import type { Endpoint } from "../../../src/project/schema.ts";
import { projectStub } from "../../../src/stubs.ts";
import { type EventType, eventType } from "../../../src/wire/event.ts";
import { newEndpointId } from "../../../src/wire/ids.ts";
import type {} from "../provided.ts";
import { unique, until } from "./client.ts";
import { chat, newBatch, stubOf } from "./store.ts";

/** A receiver's path that no other test has; the kind says how it answers. */
export const at = (kind: string) => `/${kind}/${crypto.randomUUID()}`;

/** The whole URL of a receiver's path. */
export const onReceiver = (path: string) => `${inject("receiverUrl")}${path}`;

/** A project of a test's own, whose endpoints hear of its batches alone. */
export class TestProject {
  readonly name = `p-${crypto.randomUUID()}`;
  readonly stub: DurableObjectStub<Project> = projectStub(env, this.name);

  /** Adds an endpoint at a URL. */
  async endpoint(
    url: string,
    event_types: EventType[] = [...eventType.options],
  ): Promise<{ id: string; secret: string }> {
    const made = await this.stub.createEndpoint(
      newEndpointId(),
      { name: "test", url, event_types },
      false,
    );
    if (!made.ok) throw new Error(made.problem.message);
    return { id: made.value.endpoint.id, secret: made.value.secret };
  }

  /** An endpoint as it stands. */
  async look(id: string): Promise<Endpoint> {
    const found = await this.stub.getEndpoint(id);
    if (!found.ok) throw new Error(found.problem.message);
    return found.value;
  }

  /** Opens a batch of one task, whose prompt may name a fault. */
  async open(change: Partial<NewBatch> = {}, prompt = "announced"): Promise<NewBatch> {
    const batch = newBatch({ project: this.name, ...change });
    const task = {
      customId: "t",
      body: chat(unique(prompt)),
      cost: 10,
      inputTokens: 4,
      outputTokens: 6,
      model: "m",
    };
    const opened = await stubOf(batch).open(batch, batch.source_key === null ? [task] : null);
    if (!opened.ok) throw new Error(opened.problem.message);
    return batch;
  }

  /** Moves all times of its endpoints' secrets. */
  ageSecrets(ms: number): Promise<void> {
    return runInDurableObject(this.stub, (_, { storage }) => {
      storage.sql.exec("UPDATE endpoint_secret SET expires_at = expires_at - ?", ms);
    });
  }
}

/** The deliveries of a batch, once a condition holds. */
export function deliveriesTo(
  batch: NewBatch,
  good: (all: DeliveryHistory[]) => boolean,
  timeoutMs?: number,
): Promise<DeliveryHistory[]> {
  return until(() => stubOf(batch).deliveries(), good, timeoutMs);
}

/** The one delivery of a batch to an endpoint, once a condition holds. */
export async function deliveryTo(
  batch: NewBatch,
  endpointId: string | null,
  good: (one: DeliveryHistory) => boolean,
): Promise<DeliveryHistory> {
  const ofIt = (all: DeliveryHistory[]) =>
    all.find(({ delivery }) => delivery.endpoint_id === endpointId);
  const found = ofIt(
    await deliveriesTo(batch, (all) => {
      const one = ofIt(all);
      return one !== undefined && good(one);
    }),
  );
  if (found === undefined) throw new Error("a delivery was seen and is gone");
  return found;
}

/** Makes what waits for its next attempt due now. */
export async function hastenAll(batch: NewBatch): Promise<void> {
  await runInDurableObject(stubOf(batch), (_, { storage }) => {
    storage.sql.exec("UPDATE delivery SET next_at = ? WHERE state = 'due'", Date.now());
  });
  await stubOf(batch).poke();
}
