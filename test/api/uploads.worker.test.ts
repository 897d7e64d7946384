import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { projectStub } from "../../src/stubs.ts";
import type { FileObject } from "../../src/wire/file.ts";
import type { UploadObject } from "../../src/wire/upload.ts";
import {
  bodyOf,
  call,
  chatLine,
  DEFAULT_KEY,
  ended,
  errorOf,
  FORM_TYPE,
  formBytes,
  OTHER_KEY,
  outputLines,
  post,
  unique,
} from "../support/worker/client.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const md5 = (bytes: Uint8Array) => createHash("md5").update(bytes).digest("hex");

async function create(bytes: number, more: object = {}): Promise<UploadObject> {
  const asked = { bytes, filename: "big.jsonl", mime_type: "application/jsonl", purpose: "batch" };
  const response = await post("/v1/uploads", { ...asked, ...more });
  if (!response.ok) throw new Error(`POST /v1/uploads: ${await response.text()}`);
  return response.json();
}

function sendPart(
  id: string,
  content: string | Uint8Array,
  headers: Record<string, string> = {},
  key = DEFAULT_KEY,
): Promise<Response> {
  const body = formBytes([{ name: "data", filename: "blob", content }]);
  const init = { method: "POST", body, headers: { "content-type": FORM_TYPE, ...headers } };
  return call(`/v1/uploads/${id}/parts`, init, key);
}

async function addPart(id: string, content: string | Uint8Array): Promise<string> {
  const response = await sendPart(id, content);
  if (!response.ok) throw new Error(`POST …/parts: ${await response.text()}`);
  return ((await response.json()) as { id: string }).id;
}

const complete = (id: string, part_ids: string[], more: object = {}) =>
  post(`/v1/uploads/${id}/complete`, { part_ids, ...more });
const cancel = (id: string) => call(`/v1/uploads/${id}/cancel`, { method: "POST" });

/** The file of an upload that must complete. */
async function completed(id: string, partIds: string[], more: object = {}): Promise<FileObject> {
  const response = await complete(id, partIds, more);
  if (!response.ok) throw new Error(`POST …/complete: ${await response.text()}`);
  const upload: UploadObject = await response.json();
  if (upload.file === null) throw new Error("a completed upload has no file");
  return upload.file;
}

async function contentOf({ id }: { id: string }): Promise<Uint8Array> {
  return (await bodyOf(await call(`/v1/files/${id}/content`))).bytes;
}

/** What R2 holds of an upload's parts. */
async function partsInR2(id: string): Promise<string[]> {
  const { objects } = await env.FILES.list({ prefix: `uploads/default/${id}/` });
  return objects.map(({ key }) => key);
}

/** Lets an upload's hour, and that of its bytes, be over. */
async function age(id: string, ms: number): Promise<void> {
  await runInDurableObject(projectStub(env, "default"), (_, { storage: { sql } }) => {
    sql.exec("UPDATE upload SET expires_at = expires_at - ? WHERE id = ?", ms, id);
    sql.exec("UPDATE doomed SET due_at = due_at - ? WHERE instr(r2_key, ?)", ms, id);
  });
}

const clean = () => runDurableObjectAlarm(projectStub(env, "default"));

describe("an upload in parts", () => {
  it("is answered as OpenAI has it, at each step", async () => {
    const before = Math.floor(Date.now() / 1000);
    const upload = await create(10, { expires_after: { anchor: "created_at", seconds: 3600 } });
    expect(upload).toEqual({
      id: expect.stringMatching(/^upload_[0-9a-f]{32}$/),
      object: "upload",
      bytes: 10,
      created_at: expect.any(Number),
      expires_at: upload.created_at + 3_600,
      filename: "big.jsonl",
      purpose: "batch",
      status: "pending",
      file: null,
    });
    expect(upload.created_at).toBeGreaterThanOrEqual(before);
    const part = await (await sendPart(upload.id, "0123456789")).json();
    expect(part).toEqual({
      id: expect.stringMatching(/^part_[0-9a-f]{32}$/),
      object: "upload.part",
      created_at: expect.any(Number),
      upload_id: upload.id,
    });
    const response = await complete(upload.id, [(part as { id: string }).id]);
    const done: UploadObject = await response.json();
    expect(done).toEqual({ ...upload, status: "completed", file: done.file });
    expect(done.file).toEqual({
      id: expect.stringMatching(/^file-[0-9a-f]{32}$/),
      object: "file",
      bytes: 10,
      created_at: expect.any(Number),
      expires_at: (done.file?.created_at ?? 0) + 3_600,
      filename: "big.jsonl",
      purpose: "batch",
      status: "processed",
    });
    expect(await (await call(`/v1/files/${done.file?.id}`)).json()).toEqual(done.file);
  });

  it("is put together in the order of part_ids, not of arrival, and leaves the others out", async () => {
    const { id } = await create(9);
    const c = await addPart(id, "ccc");
    await addPart(id, "not");
    const [a, b] = await Promise.all([addPart(id, "aaa"), addPart(id, "bbb")]);
    const file = await completed(id, [a, b, c], { md5: md5(encode("aaabbbccc")).toUpperCase() });
    expect(await contentOf(file)).toEqual(encode("aaabbbccc"));
  });

  it("takes parts of any size, also such as R2 takes in parts itself", async () => {
    const random = (length: number, seed: number) => {
      const bytes = new Uint8Array(length);
      for (let i = 0, state = seed; i < length; i += 1) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        bytes[i] = state >>> 24;
      }
      return bytes;
    };
    const parts = [random(9_000_001, 1), random(1, 2), random(7_999_999, 3), random(0, 4)];
    const whole = new Uint8Array(parts.flatMap((part) => [...part]));
    const { id } = await create(whole.length);
    const ids: string[] = [];
    for (const part of parts) ids.push(await addPart(id, part));
    const file = await completed(id, ids, { md5: md5(whole) });
    const back = await contentOf(file);
    expect(back.length).toBe(whole.length);
    expect(md5(back)).toBe(md5(whole));
  });

  it("becomes a file that a batch can be made from", async () => {
    const lines = ["a", "b", "c"].map((name) => `${chatLine(name, unique(name))}\n`).join("");
    const bytes = encode(lines);
    const { id } = await create(bytes.length);
    // Cut inside a line.
    const ids = [await addPart(id, bytes.slice(0, 100)), await addPart(id, bytes.slice(100))];
    const { id: input_file_id } = await completed(id, ids);
    const made = await post("/v1/batches", { input_file_id, endpoint: "/v1/chat/completions" });
    const batch = await ended(((await made.json()) as { id: string }).id);
    expect(batch).toMatchObject({
      status: "completed",
      request_counts: { total: 3, completed: 3 },
    });
    expect(batch.muster.audit.input_sha256).toBe(createHash("sha256").update(bytes).digest("hex"));
    expect((await outputLines(batch.id)).map(({ custom_id }) => custom_id)).toEqual([
      "a",
      "b",
      "c",
    ]);
  });
});

describe("an upload that ends", () => {
  it("completed leaves no part behind, in the index or in R2", async () => {
    const { id } = await create(6);
    const ids = [await addPart(id, "abc"), await addPart(id, "def")];
    await addPart(id, "out");
    expect(await partsInR2(id)).toHaveLength(3);
    const file = await completed(id, ids);
    await clean();
    expect(await partsInR2(id)).toEqual([]);
    expect(await contentOf(file)).toEqual(encode("abcdef"));
  });

  it("cancelled takes no more parts, and leaves none behind", async () => {
    const { id } = await create(6);
    const part = await addPart(id, "abcdef");
    const response = await cancel(id);
    expect(await response.json()).toMatchObject({ id, status: "cancelled", file: null });
    await clean();
    expect(await partsInR2(id)).toEqual([]);
    for (const refused of [await sendPart(id, "x"), await complete(id, [part])]) {
      expect(refused.status).toBe(400);
      expect(await errorOf(refused)).toMatchObject({ code: "upload_not_pending" });
    }
    await clean();
    expect(await partsInR2(id)).toEqual([]);
  });

  it("by its time takes no more parts, and leaves none behind", async () => {
    const { id } = await create(6);
    const part = await addPart(id, "abcdef");
    await age(id, 3_600_000);
    for (const refused of [await sendPart(id, "x"), await complete(id, [part]), await cancel(id)]) {
      expect(refused.status).toBe(400);
      const error = await errorOf(refused);
      expect(error).toMatchObject({ code: "upload_not_pending" });
      expect(error.message).toContain("expired");
    }
    // One that was asked to complete in time may still be reading.
    await clean();
    expect(await partsInR2(id)).toHaveLength(1);
    await age(id, 900_000);
    await clean();
    expect(await partsInR2(id)).toEqual([]);
  });

  it("a day later is not known any more", async () => {
    const { id } = await create(6);
    await age(id, 26 * 3_600_000);
    await create(1);
    expect((await cancel(id)).status).toBe(404);
  });
});

describe("an upload's request that is sent again", () => {
  it("complete gets the same file again; with other parts it is refused", async () => {
    const { id } = await create(3);
    const [part, other] = [await addPart(id, "abc"), await addPart(id, "xyz")];
    const [first, second] = await Promise.all([completed(id, [part]), completed(id, [part])]);
    expect(second).toEqual(first);
    expect(await completed(id, [part])).toEqual(first);
    expect((await complete(id, [other])).status).toBe(400);
    await clean();
    const { objects } = await env.FILES.list({ prefix: "files/default/" });
    expect(objects.filter(({ size }) => size === 3)).toHaveLength(1);
    expect(await contentOf(first)).toEqual(encode("abc"));
  });

  it("a part with an Idempotency-Key is one part", async () => {
    const { id } = await create(3);
    const headers = { "idempotency-key": unique("part") };
    const ids = await Promise.all(
      [1, 2].map(async () => (await (await sendPart(id, "abc", headers)).json()) as { id: string }),
    );
    expect(ids[0]).toEqual(ids[1]);
    expect((await sendPart(id, "xyz", headers)).status).toBe(422);
  });

  it("cancel twice is once; of a completed one it is refused", async () => {
    const { id } = await create(3);
    expect((await cancel(id)).status).toBe(200);
    expect((await cancel(id)).status).toBe(200);
    const other = await create(3);
    await completed(other.id, [await addPart(other.id, "abc")]);
    const refused = await cancel(other.id);
    expect(refused.status).toBe(400);
    expect(await errorOf(refused)).toMatchObject({ code: "upload_not_pending" });
  });
});

describe("an upload is refused", () => {
  const good = { bytes: 1, filename: "a", mime_type: "text/jsonl", purpose: "batch" };
  it.each<[param: string, body: object]>([
    ["bytes", { ...good, bytes: 0 }],
    ["bytes", { ...good, bytes: 1.5 }],
    ["bytes", { ...good, bytes: "10" }],
    ["bytes", { ...good, bytes: 200 * 1024 * 1024 + 1 }],
    ["filename", { ...good, filename: "" }],
    ["filename", { ...good, filename: undefined }],
    ["filename", { ...good, filename: "n".repeat(256) }],
    ["filename", { ...good, filename: "a\0b" }],
    ["mime_type", { ...good, mime_type: undefined }],
    ["purpose", { ...good, purpose: "fine-tune" }],
    ["purpose", { ...good, purpose: undefined }],
    ["expires_after.seconds", { ...good, expires_after: { anchor: "created_at", seconds: 3_599 } }],
    ["expires_after.anchor", { ...good, expires_after: { anchor: "now", seconds: 3_600 } }],
    ["expire_after", { ...good, expire_after: {} }],
  ])("with a wrong %s: %j", async (param, body) => {
    const response = await post("/v1/uploads", body);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ param, type: "invalid_request_error" });
  });

  it("when its parts are not its own, twice the same, too few, too many, or none", async () => {
    const { id } = await create(6);
    const [part, other] = [await addPart(id, "abc"), await addPart(id, "defg")];
    const strange = await addPart((await create(3)).id, "abc");
    for (const [ids, param] of [
      [[part, strange], "part_ids[1]"],
      [["part_x"], "part_ids[0]"],
      [[part, part], "part_ids[1]"],
      [[part], "part_ids"],
      [[part, other], "part_ids"],
      [[], "part_ids"],
    ] as const) {
      const response = await complete(id, [...ids]);
      expect(response.status).toBe(400);
      expect(await errorOf(response)).toMatchObject({ param });
    }
    const wrong = await complete(id, [part, other]);
    expect((await errorOf(wrong)).message).toContain("7 bytes together");
  });

  it("when its MD5 is another one, and can then be completed without", async () => {
    const { id } = await create(3);
    const part = await addPart(id, "abc");
    const refused = await complete(id, [part], { md5: md5(encode("abd")) });
    expect(refused.status).toBe(400);
    const error = await errorOf(refused);
    expect(error).toMatchObject({ param: "md5", code: "md5_mismatch" });
    expect(error.message).toContain(md5(encode("abc")));
    const { objects } = await env.FILES.list({ prefix: "files/default/" });
    expect((await complete(id, [part], { md5: "abc" })).status).toBe(400);
    const { id: file } = await completed(id, [part]);
    const after = await env.FILES.list({ prefix: "files/default/" });
    expect(after.objects.map(({ key }) => key).toSorted()).toEqual(
      [...objects.map(({ key }) => key), `files/default/${file}`].toSorted(),
    );
  });

  it("when a part is over 64 MiB, no form, or has no data", async () => {
    const { id } = await create(1);
    const big = await sendPart(id, new Uint8Array(64 * 1024 * 1024 + 1));
    expect(big.status).toBe(413);
    expect(await partsInR2(id)).toEqual([]);
    const init = { method: "POST", body: "abc" };
    expect((await call(`/v1/uploads/${id}/parts`, init)).status).toBe(415);
    const form = { method: "POST", headers: { "content-type": FORM_TYPE } };
    const body = formBytes([{ name: "file", filename: "a", content: "abc" }]);
    const wrong = await call(`/v1/uploads/${id}/parts`, { ...form, body });
    expect(wrong.status).toBe(400);
    expect(await errorOf(wrong)).toMatchObject({ param: "file", code: "unknown_parameter" });
  });

  it("when a part is longer than its file", async () => {
    const { id } = await create(1_000);
    const refused = await sendPart(id, new Uint8Array(1_001));
    expect(refused.status).toBe(413);
    expect((await errorOf(refused)).message).toContain("longer than 1000 bytes");
    expect(await partsInR2(id)).toEqual([]);
  });

  it("when more parts are sent than two files have, one by one or at the same time", async () => {
    const { id } = await create(1_000);
    const part = new Uint8Array(600);
    const sent = await Promise.all(Array.from({ length: 6 }, () => sendPart(id, part)));
    const refused = sent.filter(({ status }) => status === 400);
    expect(refused).toHaveLength(3);
    for (const response of [...refused, await sendPart(id, part)]) {
      expect(await errorOf(response)).toMatchObject({ code: "too_many_parts" });
    }
    expect(await partsInR2(id)).toHaveLength(3);
    expect((await sendPart(id, new Uint8Array(200))).status).toBe(200);
  });

  it("to another project, in the same words as one that there is not", async () => {
    const { id } = await create(3);
    const missing = `upload_${"0".repeat(32)}`;
    for (const send of [
      (upload: string) => sendPart(upload, "abc", {}, OTHER_KEY),
      (upload: string) => call(`/v1/uploads/${upload}/cancel`, { method: "POST" }, OTHER_KEY),
      (upload: string) => post(`/v1/uploads/${upload}/complete`, { part_ids: ["a"] }, OTHER_KEY),
    ]) {
      const [theirs, none] = [await send(id), await send(missing)];
      expect([theirs.status, none.status]).toEqual([404, 404]);
      expect(await theirs.text()).toBe((await none.text()).replaceAll(missing, id));
    }
  });
});
