import OpenAI from "openai";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Running, startTestMuster } from "../support/muster.ts";
import { type Received, type Receiver, startReceiver } from "../support/receiver.ts";
import { until } from "../support/wait.ts";

/** What receivers verify with: `standardwebhooks`, and `unwrap` of the official client. */

let muster: Running;
let receiver: Receiver;

beforeAll(async () => {
  receiver = await startReceiver();
  muster = await startTestMuster({}, { WEBHOOK_ALLOW_PRIVATE: "1" });
});
afterAll(async () => {
  await muster.stop();
  await receiver.close();
});

interface Made {
  id: string;
  muster: { webhook: { url: string; secret?: string } };
}

async function open(webhook: { url: string; secret?: string }): Promise<Made> {
  const response = await muster.post("/batches", {
    model: "m",
    prompts: [`to ${webhook.url}`],
    webhook,
  });
  expect(response.status).toBe(202);
  return (await response.json()) as Made;
}

const arrived = (path: string, count = 1): Promise<Received[]> =>
  until(
    () => receiver.received.filter((one) => one.path === path),
    (found) => found.length >= count,
  );
const headersOf = (one: Received) => one.headers as Record<string, string>;

describe("a batch's webhook", () => {
  it("is verified by standardwebhooks and unwrapped by the official client", async () => {
    const secret = `whsec_${Buffer.from("0123456789abcdef0123456789abcdef").toString("base64")}`;
    const { id, muster: extra } = await open({ url: `${receiver.url}/ok/verified`, secret });
    expect(extra.webhook.secret).toBeUndefined();
    const [one] = await arrived("/ok/verified");
    if (one === undefined) throw new Error("nothing arrived");
    expect(new Webhook(secret).verify(one.body, headersOf(one))).toMatchObject({
      object: "event",
      type: "batch.completed",
      data: { id },
    });
    const client = new OpenAI({ apiKey: "x", webhookSecret: secret });
    const event = await client.webhooks.unwrap(one.body, headersOf(one));
    expect(event).toMatchObject({ type: "batch.completed", data: { id } });
    await expect(
      client.webhooks.unwrap(one.body.replace(id, `${id}0`), headersOf(one)),
    ).rejects.toThrow();
  });

  it("is signed with a secret that the answer tells once when none was given", async () => {
    const made = await open({ url: `${receiver.url}/ok/made` });
    const secret = made.muster.webhook.secret ?? "";
    const [one] = await arrived("/ok/made");
    if (one === undefined) throw new Error("nothing arrived");
    expect(() => new Webhook(secret).verify(one.body, headersOf(one))).not.toThrow();
    const later = (await (await muster.get(`/batches/${made.id}`)).json()) as Made;
    expect(later.muster.webhook).toEqual({ url: `${receiver.url}/ok/made` });
  });

  it("comes again under the same webhook-id after a receiver's failure", async () => {
    await open({ url: `${receiver.url}/flaky/once` });
    const [first, second] = await arrived("/flaky/once", 2);
    expect(second?.headers["webhook-id"]).toBe(first?.headers["webhook-id"]);
    expect(second?.body).toBe(first?.body);
  });

  it("does not follow a redirect", async () => {
    await open({ url: `${receiver.url}/moved/elsewhere` });
    await arrived("/moved/elsewhere");
    expect(receiver.received.filter(({ path }) => path === "/ok/elsewhere")).toEqual([]);
  });
});
