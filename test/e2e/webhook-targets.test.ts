import { mkdtemp, readFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { describe, expect, it, onTestFinished } from "vitest";
import type { DeliveryObject } from "../../src/wire/delivery.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { startReceiver } from "../support/receiver.ts";
import { until } from "../support/wait.ts";

/** Where webhooks may go, in a Muster with nothing but its defaults. */

const FORBIDDEN = [
  "http://hooks.example.com/",
  "https://user:pw@hooks.example.com/",
  "https://127.0.0.1/",
  "https://0x7f.1/",
  "https://017700000001/",
  "https://2130706433/",
  "https://１２７.０.０.１/",
  "https://localhost./",
  "https://a.localhost/",
  "https://10.1.2.3/",
  "https://100.64.0.1/",
  "https://169.254.169.254/latest/meta-data/",
  "https://[::1]/",
  "https://[::ffff:10.0.0.1]/",
  "https://[64:ff9b::a00:1]/",
  "https://[2002:a00:1::]/",
  "https://[2001:0:a00:1::]/",
  "https://[fe80::1]/",
  "https://[fc00::1]/",
  "https://[fd00:ec2::254]/",
  "https://metadata.google.internal/",
];

const EVENTS = ["batch.completed" as const];
const PROMPTS = { model: "m", prompts: ["hello"] };

/** The first delivery of a batch, once there was an attempt or a decision. */
async function firstDelivery(muster: Running, batch: string): Promise<DeliveryObject> {
  const [one] = await until(
    async () => {
      const list = await muster.get(`/batches/${batch}/deliveries`);
      return ((await list.json()) as { data: DeliveryObject[] }).data;
    },
    ([first]) => first !== undefined && first.attempts.length > 0,
  );
  if (one === undefined) throw new Error("a delivery was seen and is gone");
  return one;
}

async function run(muster: Running, more: object = {}): Promise<string> {
  const response = await muster.post("/batches", { ...PROMPTS, ...more });
  return ((await response.json()) as { id: string }).id;
}

describe("with its defaults a Muster", () => {
  it("takes no webhook to a private place: of a batch, a new endpoint or a changed one", async () => {
    const muster = await startTestMuster();
    onTestFinished(() => muster.stop());
    const { webhooks } = new OpenAI({ baseURL: muster.url, apiKey: muster.apiKey });
    const url = "https://hooks.example.com/";
    const { id } = await webhooks.create({ name: "public", url, event_types: EVENTS });
    const answers: [url: string, ...answers: string[]][] = [];
    for (const to of FORBIDDEN) {
      const refused = Promise.all([
        refusalOf(webhooks.create({ name: "private", url: to, event_types: EVENTS })),
        refusalOf(webhooks.update(id, { url: to })),
      ]);
      const batch = await muster.post("/batches", { ...PROMPTS, webhook: { url: to } });
      const { error } = (await batch.json()) as { error: { param: string } };
      const [created, updated] = await refused;
      answers.push([to, created ?? "", updated ?? "", `${batch.status} ${error.param}`]);
    }
    expect(answers).toEqual(FORBIDDEN.map((to) => [to, "400 url", "400 url", "400 webhook.url"]));
    expect((await webhooks.retrieve(id)).url).toBe(url);
    expect((await webhooks.list()).data).toHaveLength(1);
  });

  it("sends nothing to a private place that it knows from when it was allowed", async () => {
    const receiver = await startReceiver();
    onTestFinished(() => receiver.close());
    const state = await mkdtemp(join(tmpdir(), "muster-test-"));
    const lax = await startTestMuster({}, { WEBHOOK_ALLOW_PRIVATE: "1" }, state);
    onTestFinished(() => lax.simulator.close());
    const { webhooks } = new OpenAI({ baseURL: lax.url, apiKey: lax.apiKey });
    const url = `${receiver.url}/ok/endpoint`;
    const { id } = await webhooks.create({ name: "local", url, event_types: EVENTS });
    await lax.kill();

    const strict = await startTestMuster({}, {}, state);
    onTestFinished(() => strict.stop());
    const delivery = await firstDelivery(strict, await run(strict));
    expect(delivery).toMatchObject({ webhook_endpoint_id: id, state: "failed", last_status: null });
    expect(delivery.last_error).toMatch(/must begin with https/);
    const now = new OpenAI({ baseURL: strict.url, apiKey: strict.apiKey });
    const test = now.webhooks.test(id, { event_type: "batch.completed" });
    await expect(test).rejects.toMatchObject({ status: 400, code: "webhook_test_failed" });
    expect(receiver.received).toEqual([]);
  });
});

it("a receiver whose certificate is not valid for its name is sent nothing", async () => {
  const pem = await readFile(join(import.meta.dirname, "../fixtures/self-signed.pem"));
  const received: string[] = [];
  const server = createServer({ key: pem, cert: pem }, (request, response) => {
    received.push(request.url ?? "");
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const muster = await startTestMuster({}, { WEBHOOK_ALLOW_PRIVATE: "1" });
  onTestFinished(() => muster.stop());
  const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
  const delivery = await firstDelivery(muster, await run(muster, { webhook: { url } }));
  expect(delivery).toMatchObject({ state: "due", last_status: null });
  expect(delivery.last_error).toMatch(/could not be reached: .*certificate/);
  expect(received).toEqual([]);
});

async function refusalOf(asked: Promise<unknown>): Promise<string> {
  const error = await asked.catch((refused: unknown) => refused);
  return error instanceof OpenAI.APIError ? `${error.status} ${error.param}` : "accepted";
}
