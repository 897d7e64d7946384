import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, expect, it } from "vitest";
import { batchIdOf } from "../../src/wire/ids.ts";
import type { Contract } from "../support/contract.ts";
import { DEFAULT_KEY, unique, until } from "../support/worker/client.ts";
import { ORIGIN, workerContract } from "../support/worker/contract.ts";
import { request } from "../support/worker/messages.ts";
import { newBatch, stubOf, tamper } from "../support/worker/store.ts";

/** What the official client sees when a window is over. In workerd, where it can be moved. */

let contract: Contract;
let client: Anthropic;

beforeAll(async () => {
  contract = await workerContract();
  client = new Anthropic({
    baseURL: ORIGIN,
    apiKey: DEFAULT_KEY,
    fetch: contract.fetch,
    dangerouslyAllowBrowser: true,
  });
});
afterAll(async () => expect(await contract.faults()).toEqual([]));

it("a batch whose window is over has ended, with what was answered and expired for the rest", async () => {
  const prompts = ["a", "b", "[after an hour]", "[after an hour]"].map(unique);
  const requests = prompts.map((prompt, n) => request(`c${n}`, prompt)) as never;
  const { id } = await client.messages.batches.create({ requests });
  const stub = stubOf(newBatch({ batch_id: batchIdOf(id) }));
  await until(
    async () => stub.view(),
    (view) => view.ok && view.value.request_counts.completed === 2,
  );
  await tamper(stub, "UPDATE batch SET expires_at = created_at");
  await stub.poke();
  const end = await until(
    () => client.messages.batches.retrieve(id),
    ({ processing_status }) => processing_status === "ended",
  );
  expect(end.request_counts).toEqual({
    processing: 0,
    succeeded: 2,
    errored: 0,
    canceled: 0,
    expired: 2,
  });
  expect(end.expires_at).toBe(end.created_at);
  const results = [];
  for await (const one of await client.messages.batches.results(id)) results.push(one);
  expect(results).toMatchObject([
    { custom_id: "c0", result: { type: "succeeded" } },
    { custom_id: "c1", result: { type: "succeeded" } },
    { custom_id: "c2", result: { type: "expired" } },
    { custom_id: "c3", result: { type: "expired" } },
  ]);
});

it("a batch whose results have expired is archived, and has none to read", async () => {
  const { id } = await client.messages.batches.create({
    requests: [request("a", unique("a"))] as never,
    output_expires_after: { anchor: "created_at", seconds: 3_600 },
  } as never);
  const ended = () => client.messages.batches.retrieve(id);
  const end = await until(ended, ({ processing_status }) => processing_status === "ended");
  expect(end.archived_at).toBeNull();
  const stub = stubOf(newBatch({ batch_id: batchIdOf(id) }));
  await tamper(stub, "UPDATE batch SET completed_at = completed_at - 3600000");
  await stub.poke();
  const archived = await until(ended, ({ archived_at }) => archived_at !== null);
  expect(archived).toMatchObject({ processing_status: "ended", results_url: null });
  expect(archived.request_counts).toEqual(end.request_counts);
  await expect(client.messages.batches.results(id)).rejects.toThrow("No batch `results_url`");
});
