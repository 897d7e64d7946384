import OpenAI from "openai";
import { expect, it, onTestFinished } from "vitest";
import { startTestMuster } from "../support/muster.ts";
import { startReceiver } from "../support/receiver.ts";
import { verifiers } from "../support/verifiers.ts";
import { until } from "../support/wait.ts";

it("kill -9 between two attempts: the endpoint's delivery is sent after the restart, by itself", async () => {
  const receiver = await startReceiver();
  onTestFinished(() => receiver.close());
  const muster = await startTestMuster({}, { WEBHOOK_ALLOW_PRIVATE: "1" });
  onTestFinished(() => muster.stop());
  const doors = await fetch(`${receiver.url}/doors`, { method: "POST" });
  const door = (await doors.json()) as { url: string };
  const { webhooks } = new OpenAI({ baseURL: muster.url, apiKey: muster.apiKey });
  const { signing_secret } = await webhooks.create({
    name: "killed",
    url: `${door.url}/ok/killed`,
    event_types: ["batch.completed"],
  });
  const opened = await muster.post("/batches", { model: "m", prompts: ["hello"] });
  const { id } = (await opened.json()) as { id: string };
  const attempts = async () => {
    const list = await (await muster.get(`/batches/${id}/deliveries`)).json();
    return (list as { data: { attempts: unknown[] }[] }).data.flatMap((one) => one.attempts);
  };
  await until(attempts, ({ length }) => length === 1);
  await muster.kill();
  await fetch(`${receiver.url}/doors/${new URL(door.url).port}`, { method: "POST" });
  await muster.restart();
  const [one] = await until(
    () => receiver.received.filter(({ path }) => path === "/ok/killed"),
    (got) => got.length > 0,
  );
  if (one === undefined) throw new Error("nothing arrived");
  const signed = { body: one.body, headers: one.headers as Record<string, string> };
  for (const verify of Object.values(verifiers)) {
    expect(await verify(signed, signing_secret)).toMatchObject({ data: { id } });
  }
});
