import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Running, startTestMuster } from "../support/muster.ts";
import { type Received, type Receiver, startReceiver } from "../support/receiver.ts";
import { tampered, verifiers } from "../support/verifiers.ts";
import { until } from "../support/wait.ts";

/** What is really sent, by what receivers verify it with: `openai`, `standardwebhooks`, `svix`. */

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
  it.each(Object.entries(verifiers))(
    "is verified by %s, and by nothing else",
    async (name, verify) => {
      const secret = `whsec_${Buffer.from("0123456789abcdef0123456789abcdef").toString("base64")}`;
      const path = `/ok/${encodeURIComponent(name)}`;
      const { id, muster: extra } = await open({ url: `${receiver.url}${path}`, secret });
      expect(extra.webhook.secret).toBeUndefined();
      const [one] = await arrived(path);
      if (one === undefined) throw new Error("nothing arrived");
      const signed = { body: one.body, headers: headersOf(one) };
      expect(await verify(signed, secret)).toEqual({
        id: one.headers["webhook-id"],
        object: "event",
        type: "batch.completed",
        created_at: expect.any(Number),
        data: { id },
      });
      const other = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
      await expect(verify(signed, other)).rejects.toThrow();
      for (const tamper of Object.values(tampered)) {
        await expect(verify(tamper(signed), secret)).rejects.toThrow();
      }
      // The receiver's clock, 300 s and 301 s before and after the signature's.
      const sentMs = Number(one.headers["webhook-timestamp"]) * 1000;
      for (const [offS, good] of [
        [300, true],
        [-300, true],
        [301, false],
        [-301, false],
      ] as const) {
        vi.useFakeTimers({ toFake: ["Date"], now: sentMs + offS * 1000 });
        const verified = await verify(signed, secret).then(
          () => true,
          () => false,
        );
        vi.useRealTimers();
        expect([offS, verified]).toEqual([offS, good]);
      }
    },
  );

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
