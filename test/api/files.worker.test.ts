import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { Project } from "../../src/project/project.ts";
import type { FileObject } from "../../src/wire/file.ts";
import {
  bodyOf,
  call,
  chatLine,
  ended,
  type FormPart,
  formBytes,
  open,
  postForm,
  unique,
  upload,
} from "../support/worker/client.ts";

interface FileList {
  object: string;
  data: FileObject[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
}

async function listed(query = ""): Promise<FileList> {
  return (await call(`/v1/files${query}`)).json();
}

/** A stream of pieces of these sizes, the last one over and over. */
function streamed(bytes: Uint8Array, sizes: readonly number[]): ReadableStream<Uint8Array> {
  let at = 0;
  let piece = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      const size = sizes[Math.min(piece, sizes.length - 1)] ?? bytes.length;
      controller.enqueue(bytes.slice(at, at + size));
      at += size;
      piece += 1;
    },
  });
}

const purpose = { name: "purpose", content: "batch" };

describe("an upload", () => {
  it("answers the file as OpenAI has it", async () => {
    const content = `${chatLine("甲", unique("質問"))}\n`;
    const before = Math.floor(Date.now() / 1000);
    const file = await upload(content, undefined, "my questions.jsonl");
    expect(file).toEqual({
      id: expect.stringMatching(/^file-[0-9a-f]{32}$/),
      object: "file",
      bytes: new TextEncoder().encode(content).length,
      created_at: expect.any(Number),
      expires_at: expect.any(Number),
      filename: "my questions.jsonl",
      purpose: "batch",
      status: "processed",
    });
    expect(file.created_at).toBeGreaterThanOrEqual(before);
    expect(file.created_at).toBeLessThanOrEqual(Date.now() / 1000);
  });

  it("is read back byte for byte", async () => {
    const bytes = Uint8Array.from({ length: 3_000 }, (_, i) => (i * 31) % 256);
    const { id } = await upload(bytes);
    const response = await call(`/v1/files/${id}/content`);
    expect(response.status).toBe(200);
    expect((await bodyOf(response)).bytes).toEqual(bytes);
  });

  it("takes the parts in any order", async () => {
    const file = { name: "file", filename: "in.jsonl", content: unique("content") };
    const anchor = { name: "expires_after[anchor]", content: "created_at" };
    const seconds = { name: "expires_after[seconds]", content: "7200" };
    const orders: FormPart[][] = [
      [file, purpose, anchor, seconds],
      [seconds, purpose, file, anchor],
      [anchor, seconds, purpose, file],
      [purpose, file, seconds, anchor],
    ];
    for (const parts of orders) {
      const response = await postForm(formBytes(parts));
      expect(response.status).toBe(200);
      const answer: FileObject = await response.json();
      expect(answer.expires_at).toBe(answer.created_at + 7_200);
      const content = await bodyOf(await call(`/v1/files/${answer.id}/content`));
      expect(content.text).toBe(file.content);
    }
  });

  it("takes a stream without Content-Length, however it is cut", async () => {
    const content = `${unique("first")}\r\n--muster-form-boundar\r\n\r\n${unique("last")}`;
    const form = formBytes([purpose, { name: "file", filename: "in.jsonl", content }]);
    for (const sizes of [[1], [7], [form.length - 3, 3], [100, 1]]) {
      const response = await postForm(streamed(form, sizes));
      expect(response.status).toBe(200);
      const { id, bytes }: FileObject = await response.json();
      expect(bytes).toBe(new TextEncoder().encode(content).length);
      expect((await bodyOf(await call(`/v1/files/${id}/content`))).text).toBe(content);
    }
  });

  it("takes a file of 20 MiB through several R2 parts, read back byte for byte", async () => {
    const bytes = new Uint8Array(20 * 1024 * 1024 + 12_345);
    const words = new Uint32Array(bytes.buffer, 0, bytes.length >> 2);
    let state = 1;
    for (let i = 0; i < words.length; i += 1) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      words[i] = state;
    }
    const form = formBytes([{ name: "file", filename: "big.jsonl", content: bytes }, purpose]);
    const response = await postForm(streamed(form, [65_536, 1_000_003]));
    expect(response.status).toBe(200);
    const file: FileObject = await response.json();
    expect(file.bytes).toBe(bytes.length);
    const back = (await bodyOf(await call(`/v1/files/${file.id}/content`))).bytes;
    const digest = async (data: Uint8Array) =>
      new Uint8Array(await crypto.subtle.digest("SHA-256", data)).toString();
    expect(back.length).toBe(bytes.length);
    expect(await digest(back)).toBe(await digest(bytes));
  });

  it("keeps a file name in any script, without its path, and has one for a file without", async () => {
    for (const [given, kept] of [
      ["質問 🙂.jsonl", "質問 🙂.jsonl"],
      ["C:\\work\\in.jsonl", "in.jsonl"],
      ["../../in.jsonl", "in.jsonl"],
      ["n".repeat(255), "n".repeat(255)],
      ["", "upload.jsonl"],
    ] as const) {
      expect((await upload("{}", undefined, given)).filename).toBe(kept);
    }
  });

  it("takes an empty file", async () => {
    const { id, bytes } = await upload("");
    expect(bytes).toBe(0);
    expect((await bodyOf(await call(`/v1/files/${id}/content`))).bytes.length).toBe(0);
  });

  it("takes expires_after from an hour to thirty days", async () => {
    for (const seconds of [3_600, 2_592_000]) {
      const response = await postForm(
        formBytes([
          purpose,
          { name: "expires_after[anchor]", content: "created_at" },
          { name: "expires_after[seconds]", content: String(seconds) },
          { name: "file", filename: "in.jsonl", content: "{}" },
        ]),
      );
      expect(response.status).toBe(200);
      const file: FileObject = await response.json();
      expect(file.expires_at).toBe(file.created_at + seconds);
      expect(await (await call(`/v1/files/${file.id}`)).json()).toEqual(file);
    }
  });
});

describe("a file", () => {
  it("is looked at as it was answered", async () => {
    const file = await upload(unique("content"));
    expect(await (await call(`/v1/files/${file.id}`)).json()).toEqual(file);
  });

  it("is gone once deleted, from the list and from R2 too", async () => {
    const { id } = await upload(unique("content"));
    const response = await call(`/v1/files/${id}`, { method: "DELETE" });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ id, object: "file", deleted: true });
    expect((await call(`/v1/files/${id}`)).status).toBe(404);
    expect((await call(`/v1/files/${id}/content`)).status).toBe(404);
    expect((await call(`/v1/files/${id}`, { method: "DELETE" })).status).toBe(404);
    expect((await listed()).data.map((file) => file.id)).not.toContain(id);
    const { objects } = await env.FILES.list();
    expect(objects.filter(({ key }) => key.includes(id))).toEqual([]);
  });

  it("is gone once its time is over", async () => {
    const { id } = await upload(unique("content"));
    await runInDurableObject(env.PROJECT.getByName("default"), (_, state) => {
      state.storage.sql.exec("UPDATE file SET expires_at = ? WHERE id = ?", Date.now() - 1, id);
    });
    expect((await call(`/v1/files/${id}`)).status).toBe(404);
    expect((await call(`/v1/files/${id}/content`)).status).toBe(404);
    expect((await listed()).data.map((file) => file.id)).not.toContain(id);
  });
});

describe("the bytes of an upload whose Worker was lost", () => {
  it("are deleted after a day; those of a file are kept", async () => {
    const index = env.PROJECT.getByName("default");
    const lost = `files/default/file-${"0".repeat(32)}`;
    await env.FILES.put(lost, "bytes without a row");
    await index.expectBytes(lost);
    const kept = await upload("kept");
    const hasten = (ms: number) =>
      runInDurableObject(index, async (instance: Project, { storage }) => {
        storage.sql.exec("UPDATE doomed SET due_at = due_at - ?", ms);
        await instance.alarm();
      });
    await hasten(23 * 3_600_000);
    expect(await env.FILES.head(lost)).not.toBeNull();
    await hasten(3_600_001);
    expect(await env.FILES.head(lost)).toBeNull();
    expect((await bodyOf(await call(`/v1/files/${kept.id}/content`))).text).toBe("kept");
  });
});

describe("the list of files", () => {
  it("gives every file once, in the order asked for, a page at a time", async () => {
    const uploaded: string[] = [];
    for (let n = 0; n < 5; n += 1) uploaded.push((await upload(unique("content"))).id);
    for (const order of ["asc", "desc"] as const) {
      const whole = await listed(`?order=${order}`);
      const ids = whole.data.map(({ id }) => id);
      const ours = ids.filter((id) => uploaded.includes(id));
      expect(ours).toEqual(order === "asc" ? uploaded : uploaded.toReversed());
      expect(whole).toMatchObject({ object: "list", has_more: false });
      expect([whole.first_id, whole.last_id]).toEqual([ids[0], ids.at(-1)]);

      const walked: string[] = [];
      let after: string | null = null;
      for (;;) {
        const cursor = after === null ? "" : `&after=${after}`;
        const page = await listed(`?order=${order}&limit=2${cursor}`);
        expect(page.data.length).toBeLessThanOrEqual(2);
        expect(page.last_id).toBe(page.data.at(-1)?.id);
        walked.push(...page.data.map(({ id }) => id));
        after = page.last_id;
        if (!page.has_more) break;
      }
      expect(walked).toEqual(ids);
    }
  });

  it("goes on behind a file that was deleted: deleting all it gives deletes all", async () => {
    for (let n = 0; n < 5; n += 1) await upload(unique("content"));
    const end = await ended((await open({ model: "m", prompts: [unique("a")] })).id);
    let after = "";
    for (;;) {
      const { data, last_id, has_more } = await listed(`?limit=2${after}`);
      for (const { id } of data) await call(`/v1/files/${id}`, { method: "DELETE" });
      after = `&after=${last_id}`;
      if (!has_more) break;
    }
    expect((await listed()).data).toEqual([]);
    expect((await call(`/v1/files/${end.output_file_id}`)).status).toBe(404);
  });

  it("is empty for a purpose that files have at OpenAI and not here", async () => {
    for (const purpose of ["assistants", "fine-tune", "vision", "user_data", "evals"]) {
      await upload(unique("content"));
      expect((await listed(`?purpose=${purpose}`)).data).toEqual([]);
    }
  });

  it("is of one purpose when asked", async () => {
    const { id: input } = await upload(unique("content"));
    await open({ model: "m", prompts: [unique("a")] });
    const inputs = await listed("?purpose=batch");
    expect(inputs.data.map(({ id }) => id)).toContain(input);
    expect(inputs.data.every((file) => file.purpose === "batch")).toBe(true);
    const outputs = await listed("?purpose=batch_output");
    expect(outputs.data.every((file) => file.purpose === "batch_output")).toBe(true);
  });

  it("has no first and last when it is empty", async () => {
    const response = await call("/v1/files", {}, "sk-test-other");
    expect(await response.json()).toEqual({
      object: "list",
      data: [],
      first_id: null,
      last_id: null,
      has_more: false,
    });
  });
});
