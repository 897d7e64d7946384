import { describe, expect, inject, it } from "vitest";
import type { DeliveryObject } from "../../src/wire/delivery.ts";
import { call, ended, errorOf, OTHER_KEY, open, post, unique } from "../support/worker/client.ts";
import { deliveriesOf, deliveryOf, receivedAt } from "../support/worker/faults.ts";

const at = (kind: string) => `/${kind}/${crypto.randomUUID()}`;

async function announcedTo(path: string): Promise<string> {
  const webhook = { url: `${inject("receiverUrl")}${path}` };
  const { id } = await open({ model: "m", prompts: [unique("announced")], webhook });
  await ended(id);
  return id;
}

const resend = (id: string, delivery: string) =>
  post(`/v1/batches/${id}/deliveries/${delivery}/resend`, "");

describe("GET /v1/batches/{id}/deliveries", () => {
  it("lists nothing for a batch without a webhook", async () => {
    const { id } = await open({ model: "m", prompts: [unique("quiet")] });
    await ended(id);
    const response = await call(`/v1/batches/${id}/deliveries`);
    expect(await response.json()).toEqual({ object: "list", data: [] });
  });

  it("tells what was sent where, and how it went, without the secret or the signature", async () => {
    const path = at("ok");
    const id = await announcedTo(path);
    const delivery = await deliveryOf(id, ({ state }) => state === "delivered");
    expect(delivery).toEqual({
      id: expect.stringMatching(/^evt_[0-9a-f]{32}_1_batch_completed$/),
      object: "batch.delivery",
      event_id: delivery.id,
      event_type: "batch.completed",
      webhook_endpoint_id: null,
      url: `${inject("receiverUrl")}${path}`,
      state: "delivered",
      attempts: [
        {
          started_at: expect.stringMatching(/^\d{4}-.+Z$/),
          duration_ms: expect.any(Number),
          status_code: 200,
          error: null,
          next_attempt_at: null,
        },
      ],
      attempts_left: 0,
      next_attempt_at: null,
      last_status: 200,
      last_error: null,
    });
  });

  it("is a 404 for a batch of another project", async () => {
    const id = await announcedTo(at("ok"));
    expect((await call(`/v1/batches/${id}/deliveries`, {}, OTHER_KEY)).status).toBe(404);
  });
});

describe("POST /v1/batches/{id}/deliveries/{delivery_id}/resend", () => {
  it("sends a delivered webhook once more, under the same webhook-id", async () => {
    const path = at("ok");
    const id = await announcedTo(path);
    const delivery = await deliveryOf(id, ({ state }) => state === "delivered");
    const response = await resend(id, delivery.id);
    expect(response.status).toBe(200);
    const due: DeliveryObject = await response.json();
    expect(due).toMatchObject({ id: delivery.id, state: "due", attempts_left: 10 });
    expect(due.next_attempt_at).not.toBeNull();
    await deliveryOf(id, ({ state, attempts }) => state === "delivered" && attempts.length === 2);
    const got = await receivedAt(path);
    expect(got.map(({ headers }) => headers["webhook-id"])).toEqual([delivery.id, delivery.id]);
    expect(got[0]?.body).toBe(got[1]?.body);
  });

  it("gives a failed one all its attempts again", async () => {
    const id = await announcedTo(at("gone"));
    const failed = await deliveryOf(id, ({ state }) => state === "failed");
    expect(await (await resend(id, failed.id)).json()).toMatchObject({
      state: "due",
      attempts_left: 10,
    });
    const { attempts } = await deliveryOf(id, ({ state }) => state === "failed");
    expect(attempts.map(({ status_code }) => status_code)).toEqual([410, 410]);
  });

  it("is a 404 that names the id for a delivery that there is not", async () => {
    const id = await announcedTo(at("ok"));
    const response = await resend(id, "evt_unknown");
    expect(response.status).toBe(404);
    expect(await errorOf(response)).toMatchObject({ code: "not_found", param: "id" });
    expect(await deliveriesOf(id)).toHaveLength(1);
  });

  it("is a 404 for another project, and sends nothing", async () => {
    const path = at("ok");
    const id = await announcedTo(path);
    const { id: delivery } = await deliveryOf(id, ({ state }) => state === "delivered");
    const url = `/v1/batches/${id}/deliveries/${delivery}/resend`;
    expect((await post(url, "", OTHER_KEY)).status).toBe(404);
    expect(await deliveriesOf(id)).toMatchObject([{ state: "delivered" }]);
    expect(await receivedAt(path)).toHaveLength(1);
  });
});
