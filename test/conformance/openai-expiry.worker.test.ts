import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import OpenAI, { NotFoundError, toFile } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { projectStub } from "../../src/stubs.ts";
import type { Contract } from "../support/contract.ts";
import { chatLine, DEFAULT_KEY, linesOf, unique, until } from "../support/worker/client.ts";
import { ORIGIN, workerContract } from "../support/worker/contract.ts";
import { newBatch, stubOf, tamper } from "../support/worker/store.ts";

/**
 * What the official client sees when times are over. In workerd, where an object's clock can be moved:
 * the shortest time a client can ask for is an hour.
 */

let contract: Contract;
let client: OpenAI;

beforeAll(async () => {
  contract = await workerContract();
  client = new OpenAI({
    baseURL: `${ORIGIN}/v1`,
    apiKey: DEFAULT_KEY,
    fetch: contract.fetch,
    dangerouslyAllowBrowser: true,
  });
});
afterAll(async () => expect(await contract.faults()).toEqual([]));

async function create(lines: readonly string[], more: object = {}) {
  const file = await toFile(new TextEncoder().encode(lines.join("\n")), "in.jsonl");
  const { id } = await client.files.create({ file, purpose: "batch" });
  const completion_window = "24h" as const;
  const endpoint = "/v1/chat/completions" as const;
  return client.batches.create({ input_file_id: id, endpoint, completion_window, ...more });
}

const ended = (id: string) =>
  until(
    () => client.batches.retrieve(id),
    ({ status }) => ["completed", "failed", "expired", "cancelled"].includes(status),
  );
const textOf = async (id: string | undefined) => (await client.files.content(id ?? "")).text();

/** Runs a statement in a batch's object, and lets it look after itself. */
async function change(batchId: string, statement: string): Promise<void> {
  const stub = stubOf(newBatch({ batch_id: batchId }));
  await tamper(stub, statement);
  await stub.poke();
}

describe("a batch whose window is over", () => {
  it("has expired, with what was answered, and batch_expired lines for the rest", async () => {
    const prompts = ["a", "b", "[after an hour]", "[after an hour]"].map(unique);
    const { id } = await create(prompts.map((prompt, n) => chatLine(`c${n}`, prompt)));
    await until(
      () => client.batches.retrieve(id),
      ({ request_counts }) => request_counts?.completed === 2,
    );
    await change(id, "UPDATE batch SET expires_at = created_at");
    const end = await ended(id);
    expect(end).toMatchObject({
      status: "expired",
      request_counts: { total: 4, completed: 2, failed: 0 },
      completed_at: null,
      cancelled_at: null,
    });
    expect(end.expired_at).toBeGreaterThanOrEqual(end.in_progress_at ?? Number.NaN);
    const answered = linesOf(await textOf(end.output_file_id));
    expect(answered.map(({ custom_id }) => custom_id)).toEqual(["c0", "c1"]);
    const expired = linesOf(await textOf(end.error_file_id));
    expect(expired).toEqual(
      ["c2", "c3"].map((custom_id) => ({
        id: expect.stringMatching(/^batch_req_/),
        custom_id,
        response: null,
        error: {
          code: "batch_expired",
          message: "This request could not be executed before the completion window expired.",
        },
      })),
    );
  });
});

describe("files whose time is over", () => {
  it("both files of a batch are gone by output_expires_after; the batch is not", async () => {
    const output_expires_after = { anchor: "created_at", seconds: 3_600 };
    const lines = [chatLine("a", unique("a")), chatLine("b", unique("[401]"))];
    const end = await ended((await create(lines, { output_expires_after })).id);
    await change(end.id, "UPDATE batch SET completed_at = completed_at - 3600000");
    const index = projectStub(env, "default");
    await runInDurableObject(index, (_, { storage: { sql } }) => {
      sql.exec("UPDATE file SET expires_at = expires_at - 3600000 WHERE batch_id = ?", end.id);
    });
    await runDurableObjectAlarm(index);
    for (const file of [end.output_file_id, end.error_file_id]) {
      await expect(client.files.retrieve(file ?? "")).rejects.toBeInstanceOf(NotFoundError);
      await expect(client.files.content(file ?? "")).rejects.toBeInstanceOf(NotFoundError);
      for await (const { id } of client.files.list()) expect(id).not.toBe(file);
    }
    expect(await client.batches.retrieve(end.id)).toMatchObject({
      status: "completed",
      request_counts: { total: 2, completed: 1, failed: 1 },
    });
  });

  it("an uploaded file is gone by expires_after, its bytes too", async () => {
    const file = await client.files.create({
      file: await toFile(new TextEncoder().encode("{}"), "in.jsonl"),
      purpose: "batch",
      expires_after: { anchor: "created_at", seconds: 3_600 },
    });
    expect(await env.FILES.head(`files/default/${file.id}`)).not.toBeNull();
    const index = projectStub(env, "default");
    await runInDurableObject(index, (_, { storage: { sql } }) => {
      sql.exec("UPDATE file SET expires_at = expires_at - 3600000 WHERE id = ?", file.id);
    });
    await runDurableObjectAlarm(index);
    await expect(client.files.retrieve(file.id)).rejects.toBeInstanceOf(NotFoundError);
    expect(await env.FILES.head(`files/default/${file.id}`)).toBeNull();
  });

  it("an upload that nobody completed is expired, and takes nothing more", async () => {
    const upload = await client.uploads.create({
      bytes: 3,
      filename: "in.jsonl",
      mime_type: "application/jsonl",
      purpose: "batch",
    });
    const part = async () => {
      const data = await toFile(new TextEncoder().encode("abc"), "part");
      return client.uploads.parts.create(upload.id, { data });
    };
    const { id } = await part();
    await runInDurableObject(projectStub(env, "default"), (_, { storage: { sql } }) => {
      sql.exec("UPDATE upload SET expires_at = created_at WHERE id = ?", upload.id);
    });
    await expect(part()).rejects.toMatchObject({ status: 400, code: "upload_not_pending" });
    await expect(client.uploads.complete(upload.id, { part_ids: [id] })).rejects.toThrow("expired");
  });
});
