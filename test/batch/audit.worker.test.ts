import { describe, expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import {
  bodyOf,
  call,
  chatLine,
  ended,
  look,
  open,
  post,
  unique,
  upload,
} from "../support/worker/client.ts";
import { newBatch, plant, stubOf } from "../support/worker/store.ts";

async function sha256(bytes: Uint8Array): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** The hash of what GET …/results gives as JSONL. */
async function hashOfResults(id: string): Promise<string> {
  const init = { headers: { accept: "application/jsonl" } };
  return sha256((await bodyOf(await call(`/v1/batches/${id}/results`, init))).bytes);
}

describe("muster.audit", () => {
  it("has the hash of the body that opened the batch, byte for byte", async () => {
    const body = `{ "model":"m",\n "prompts": [${JSON.stringify(unique("質問 🙂"))}] }  `;
    const response = await post("/v1/batches", body);
    const { id, muster }: BatchObject = await response.json();
    expect(muster.audit.input_sha256).toBe(await sha256(bytesOf(body)));
    await ended(id);
  });

  it("has the hash of the file the batch was read from", async () => {
    const content = `${chatLine("a", unique("甲"))}\r\n${chatLine("b", unique("乙"))}`;
    const file = await upload(content);
    const { id } = await open({
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    const end = await ended(id);
    expect(end.muster.audit.input_sha256).toBe(await sha256(bytesOf(content)));
  });

  it("has the hash of all results as JSONL, failures among them, and the counts", async () => {
    const prompts = [unique("fine"), unique("[400]"), unique("[pretty]"), unique("[503 first] 🙂")];
    const { id, muster } = await open({ model: "m", prompts });
    expect(muster.audit.outcomes_sha256).toBeNull();
    const end = await ended(id);
    expect(end.muster.audit).toMatchObject({
      total: 4,
      succeeded: 3,
      failed: 1,
      cancelled: 0,
      expired: 0,
      pending: 0,
      running: 0,
    });
    expect(end.muster.audit.outcomes_sha256).toBe(await hashOfResults(id));
  });

  it("has the same hash when it is asked again, and another one after a retry", async () => {
    const { id } = await open({ model: "m", prompts: [unique("fine"), unique("[503 run]")] });
    const { audit } = (await ended(id)).muster;
    expect((await look(id)).muster.audit).toEqual(audit);
    await post(`/v1/batches/${id}/retry`, "");
    const again = (await ended(id)).muster.audit;
    expect(again.outcomes_sha256).not.toBe(audit.outcomes_sha256);
    expect(again.outcomes_sha256).toBe(await hashOfResults(id));
    expect(again.input_sha256).toBe(audit.input_sha256);
  });

  it("has the hash of a batch that was cancelled, too", async () => {
    const batch = newBatch();
    await plant(batch, [unique("cancelled"), unique("cancelled")], () => undefined);
    await stubOf(batch).cancel();
    const { audit } = (await ended(batch.batch_id)).muster;
    expect(audit.outcomes_sha256).toBe(await hashOfResults(batch.batch_id));
    expect(audit.cancelled).toBe(2);
  });
});
