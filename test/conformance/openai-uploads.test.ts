import { createHash } from "node:crypto";
import OpenAI, { BadRequestError, NotFoundError, toFile } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Running, startTestMuster } from "../support/muster.ts";
import { chatLine, jsonl, readLines } from "../support/requests.ts";
import { until } from "../support/wait.ts";

/** `client.uploads` of the official client: a file in parts. */

let muster: Running;
let client: OpenAI;

beforeAll(async () => {
  muster = await startTestMuster();
  client = new OpenAI({ baseURL: muster.url, apiKey: muster.apiKey, fetch: muster.fetch });
});
afterAll(() => muster.stop());

const begin = (bytes: number) =>
  client.uploads.create({
    bytes,
    filename: "big.jsonl",
    mime_type: "application/jsonl",
    purpose: "batch",
  });

async function partOf(id: string, content: Uint8Array | string): Promise<string> {
  const data = await toFile(Buffer.from(content), "part");
  const part = await client.uploads.parts.create(id, { data });
  expect(part).toMatchObject({ object: "upload.part", upload_id: id });
  return part.id;
}

describe("uploads", () => {
  it("put parts that came in any order together to a file that a batch is made from", async () => {
    const padding = "x".repeat(20_000);
    const rows = Array.from({ length: 600 }, (_, n) => chatLine(`q-${n}`, `${n} ${padding}`));
    const whole = Buffer.from(jsonl(rows));
    expect(whole.length).toBeGreaterThan(12_000_000);
    const upload = await begin(whole.length);
    expect(upload).toMatchObject({
      object: "upload",
      bytes: whole.length,
      filename: "big.jsonl",
      purpose: "batch",
      status: "pending",
      expires_at: upload.created_at + 3_600,
    });
    const size = 3_000_001;
    const starts = Array.from({ length: Math.ceil(whole.length / size) }, (_, n) => n * size);
    const ids = new Map<number, string>();
    const send = async (at: number) =>
      ids.set(at, await partOf(upload.id, whole.subarray(at, at + size)));
    await Promise.all(starts.toReversed().map(send));
    const done = await client.uploads.complete(upload.id, {
      part_ids: starts.map((at) => ids.get(at) ?? ""),
      md5: createHash("md5").update(whole).digest("hex"),
    });
    expect(done).toMatchObject({ id: upload.id, status: "completed" });
    expect(done.file).toMatchObject({
      object: "file",
      bytes: whole.length,
      filename: "big.jsonl",
      purpose: "batch",
      status: "processed",
    });
    const input_file_id = done.file?.id ?? "";
    const back = Buffer.from(await (await client.files.content(input_file_id)).arrayBuffer());
    expect(back.equals(whole)).toBe(true);

    const batch = await client.batches.create({
      input_file_id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    const end = await until(
      () => client.batches.retrieve(batch.id),
      ({ status }) => status === "completed" || status === "failed",
    );
    expect(end).toMatchObject({
      status: "completed",
      request_counts: { total: 600, completed: 600 },
    });
    const lines = readLines(await (await client.files.content(end.output_file_id ?? "")).text());
    expect(lines.map(({ custom_id }) => custom_id)).toEqual(rows.map(({ custom_id }) => custom_id));
  });

  it("are refused when the bytes are too few, or others than the MD5 says", async () => {
    const { id } = await begin(6);
    const [a, b] = [await partOf(id, "abc"), await partOf(id, "def")];
    const complete = (part_ids: string[], md5?: string) =>
      client.uploads.complete(id, { part_ids, ...(md5 === undefined ? {} : { md5 }) });
    await expect(complete([a])).rejects.toSatisfy(
      (error) => error instanceof BadRequestError && error.code === "bytes_mismatch",
    );
    const md5 = createHash("md5").update("abcdef").digest("hex");
    await expect(complete([b, a], md5)).rejects.toSatisfy(
      (error) => error instanceof BadRequestError && error.param === "md5",
    );
    expect((await complete([a, b], md5)).status).toBe("completed");
    // A lost answer makes the client send it again: the same file.
    const [first, second] = [await complete([a, b], md5), await complete([a, b], md5)];
    expect(second.file?.id).toBe(first.file?.id);
    await expect(partOf(id, "late")).rejects.toBeInstanceOf(BadRequestError);
  });

  it("that are cancelled take nothing more", async () => {
    const { id } = await begin(3);
    const part = await partOf(id, "abc");
    expect((await client.uploads.cancel(id)).status).toBe("cancelled");
    await expect(client.uploads.complete(id, { part_ids: [part] })).rejects.toBeInstanceOf(
      BadRequestError,
    );
    await expect(client.uploads.cancel("upload_nothing")).rejects.toBeInstanceOf(NotFoundError);
  });
});
