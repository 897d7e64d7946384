import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { projectStub } from "../../src/stubs.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import type { FileObject } from "../../src/wire/file.ts";
import {
  bodyOf,
  call,
  ended,
  errorOf,
  look,
  open,
  results,
  unique,
  until,
} from "../support/worker/client.ts";
import { taskOf } from "../support/worker/faults.ts";
import { newBatch, stubOf, tamper } from "../support/worker/store.ts";

const HOUR_S = 3_600;

/** A batch that has ended, with one success and one failure. */
async function finished(more: object = {}): Promise<BatchObject> {
  const prompts = [unique("good"), unique("[401]")];
  return ended((await open({ model: "m", prompts, ...more })).id);
}

const filesOf = (batch: BatchObject) => [batch.output_file_id ?? "", batch.error_file_id ?? ""];
const fileOf = async (id: string): Promise<FileObject> => (await call(`/v1/files/${id}`)).json();
const remove = (id: string) => call(`/v1/files/${id}`, { method: "DELETE" });
const retry = (id: string) => call(`/v1/batches/${id}/retry`, { method: "POST" });

/** What of a batch's prompts and answers is still stored in its object. */
function storedOf(id: string): Promise<{ inputs: number; outcomes: number }> {
  return runInDurableObject(stubOf(newBatch({ batch_id: id })), (_, { storage: { sql } }) =>
    sql
      .exec<{ inputs: number; outcomes: number }>(
        "SELECT (SELECT count(*) FROM input) AS inputs, (SELECT count(*) FROM outcome) AS outcomes",
      )
      .one(),
  );
}

/** Lets a batch have ended earlier, and its files with it. */
async function age(id: string, ms: number): Promise<void> {
  const stub = stubOf(newBatch({ batch_id: id }));
  await tamper(stub, "UPDATE batch SET completed_at = completed_at - ?", ms);
  const index = projectStub(env, "default");
  await runInDurableObject(index, (_, { storage: { sql } }) => {
    sql.exec("UPDATE file SET expires_at = expires_at - ? WHERE batch_id = ?", ms, id);
  });
  await stub.poke();
  await runDurableObjectAlarm(index);
}

const output_expires_after = { anchor: "created_at", seconds: HOUR_S };

describe("output_expires_after", () => {
  it("is counted from the files' creation, and shown by them", async () => {
    const batch = await finished({ output_expires_after });
    for (const id of filesOf(batch)) {
      const file = await fileOf(id);
      expect(file.created_at).toBe(batch.completed_at);
      expect(file.expires_at).toBe(file.created_at + HOUR_S);
    }
  });

  it("without it files go with their batch, and say so", async () => {
    const batch = await finished();
    for (const id of filesOf(batch)) {
      const file = await fileOf(id);
      expect(file.expires_at).toBe(file.created_at + 720 * HOUR_S);
    }
  });

  it("deletes both files and all that was asked and answered when it is over", async () => {
    const batch = await finished({ output_expires_after });
    await age(batch.id, HOUR_S * 1000 - 60_000);
    expect((await results(batch.id)).total).toBe(2);
    expect(await storedOf(batch.id)).toEqual({ inputs: 2, outcomes: 2 });
    await age(batch.id, 60_000);
    const gone = { inputs: 0, outcomes: 0 };
    await until(
      () => storedOf(batch.id),
      (stored) => JSON.stringify(stored) === JSON.stringify(gone),
    );
    for (const id of filesOf(batch)) {
      expect((await call(`/v1/files/${id}`)).status).toBe(404);
      expect((await call(`/v1/files/${id}/content`)).status).toBe(404);
    }
    for (const accept of ["application/json", "application/jsonl"]) {
      const refused = await call(`/v1/batches/${batch.id}/results`, { headers: { accept } });
      expect(refused.status).toBe(404);
      expect(await errorOf(refused)).toMatchObject({ code: "results_deleted" });
    }
    // The batch itself is kept: counts, usage, hashes, and what its files were called.
    const { completed_at, ...kept } = await look(batch.id);
    const { results_deleted_at } = kept.muster;
    expect(results_deleted_at).toBeGreaterThanOrEqual(batch.completed_at ?? 0);
    const muster = { ...batch.muster, results_deleted_at };
    expect(kept).toEqual({ ...batch, muster, completed_at: undefined });
    expect(completed_at).toBeLessThan(batch.completed_at ?? 0);
    expect(await taskOf(batch.id)).toMatchObject({
      state: "succeeded",
      request: null,
      outcome: null,
    });
    const again = await retry(batch.id);
    expect(again.status).toBe(400);
    expect(await errorOf(again)).toMatchObject({
      code: "results_deleted",
      param: "id",
      message: expect.stringContaining("its error file was deleted"),
    });
  });

  it("does not keep results longer than the batch is kept", async () => {
    const seconds = 2_592_000;
    const batch = await finished({ output_expires_after: { anchor: "created_at", seconds } });
    const file = await fileOf(batch.output_file_id ?? "");
    expect(file.expires_at).toBe(file.created_at + Math.min(720 * HOUR_S, seconds));
  });

  it("begins anew with the end of another run", async () => {
    const batch = await finished({ output_expires_after });
    await age(batch.id, HOUR_S * 1000 - 60_000);
    expect((await retry(batch.id)).status).toBe(200);
    const again = await ended(batch.id);
    const file = await fileOf(again.error_file_id ?? "");
    expect(file.expires_at).toBe((again.completed_at ?? 0) + HOUR_S);
    await age(batch.id, 120_000);
    expect((await results(batch.id)).total).toBe(2);
  });
});

describe("deleting an output file", () => {
  it("deletes its lines and what was asked in them; the other file stays", async () => {
    const batch = await finished();
    const [output = "", error = ""] = filesOf(batch);
    const before = (await bodyOf(await call(`/v1/files/${error}/content`))).text;
    expect(await (await remove(output)).json()).toEqual({
      id: output,
      object: "file",
      deleted: true,
    });
    expect((await call(`/v1/files/${output}/content`)).status).toBe(404);
    expect((await remove(output)).status).toBe(404);
    expect(await storedOf(batch.id)).toEqual({ inputs: 1, outcomes: 1 });
    expect((await bodyOf(await call(`/v1/files/${error}/content`))).text).toBe(before);
    const refused = await call(`/v1/batches/${batch.id}/results`);
    expect(refused.status).toBe(404);
    expect((await errorOf(refused)).message).toContain("deleted");
    const again = await retry(batch.id);
    expect(again.status).toBe(400);
    expect(await errorOf(again)).toMatchObject({
      type: "invalid_request_error",
      code: "results_deleted",
      param: "id",
      message: expect.stringMatching(/its output file was deleted at .*its error file names them/),
    });
    const left = await look(batch.id);
    const { results_deleted_at } = left.muster;
    expect(results_deleted_at).toBeGreaterThanOrEqual(batch.completed_at ?? 0);
    expect(left).toEqual({ ...batch, muster: { ...batch.muster, results_deleted_at } });
    await remove(error);
    expect(await storedOf(batch.id)).toEqual({ inputs: 0, outcomes: 0 });
    expect((await look(batch.id)).request_counts).toEqual({ total: 2, completed: 1, failed: 1 });
  });

  it("that its batch was deleted with, and which is still in the index, is none", async () => {
    const batch = await finished();
    await tamper(stubOf(newBatch({ batch_id: batch.id })), "UPDATE batch SET removed_at = 1");
    for (const id of filesOf(batch)) {
      const response = await call(`/v1/files/${id}/content`);
      expect(response.status).toBe(404);
      expect((await errorOf(response)).message).toBe(`No file with id '${id}'.`);
    }
  });

  it("is not what is the matter with a retry where every task succeeded", async () => {
    const { id, output_file_id } = await ended(
      (await open({ model: "m", prompts: [unique("good")] })).id,
    );
    await remove(output_file_id ?? "");
    const refused = await retry(id);
    expect(refused.status).toBe(400);
    expect(await errorOf(refused)).toMatchObject({ code: "nothing_to_retry" });
  });

  it("is refused while its batch runs again", async () => {
    const prompts = [unique("good"), unique("[503 run] [hang always]")];
    const batch = await ended((await open({ model: "m", prompts })).id);
    expect((await retry(batch.id)).status).toBe(200);
    const refused = await remove(batch.output_file_id ?? "");
    expect(refused.status).toBe(400);
    expect(await errorOf(refused)).toMatchObject({ code: "file_in_use" });
    await call(`/v1/batches/${batch.id}/cancel`, { method: "POST" });
    await ended(batch.id);
    expect((await remove(batch.output_file_id ?? "")).status).toBe(200);
  });
});
