import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { projectStub } from "../../src/stubs.ts";
import { call, ended, open, unique, until, upload } from "../support/worker/client.ts";
import { newBatch, stubOf, tamper } from "../support/worker/store.ts";

it("deletes a batch, its output file and its place in the list when its time is over", async () => {
  const { id } = await open({ model: "m", prompts: [unique("kept for a while")] });
  const end = await ended(id);
  const stub = stubOf(newBatch({ batch_id: id }));
  await tamper(stub, "UPDATE batch SET completed_at = 1000");
  await stub.poke();
  await until(
    async () => (await call(`/v1/batches/${id}`)).status,
    (status) => status === 404,
  );
  expect((await call(`/v1/files/${end.output_file_id}`)).status).toBe(404);
  const list: { data: { id: string }[] } = await (await call("/v1/batches?limit=100")).json();
  expect(list.data.map((batch) => batch.id)).not.toContain(id);
  await runInDurableObject(stub, async (_, { storage }) => {
    expect(
      storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'task'").toArray(),
    ).toEqual([]);
    expect(await storage.getAlarm()).toBeNull();
  });
});

it("keeps a batch whose time is not over", async () => {
  const { id } = await open({ model: "m", prompts: [unique("kept")] });
  await ended(id);
  const stub = stubOf(newBatch({ batch_id: id }));
  await runDurableObjectAlarm(stub);
  expect((await call(`/v1/batches/${id}`)).status).toBe(200);
});

it("deletes an uploaded file's bytes when it expires", async () => {
  const { id } = await upload("{}\n");
  const index = projectStub(env, "default");
  const key = `files/default/${id}`;
  expect(await env.FILES.head(key)).not.toBeNull();
  await runInDurableObject(index, (_, { storage }) => {
    storage.sql.exec("UPDATE file SET expires_at = 1000 WHERE id = ?", id);
  });
  await runDurableObjectAlarm(index);
  expect(await env.FILES.head(key)).toBeNull();
  expect((await call(`/v1/files/${id}`)).status).toBe(404);
});
