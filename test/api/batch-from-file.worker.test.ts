import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import type { FileObject } from "../../src/wire/file.ts";
import {
  bodyOf,
  call,
  chatLine,
  digestOf,
  ended,
  linesOf,
  post,
  results,
  unique,
  until,
  upload,
} from "../support/worker/client.ts";

/** Opens a batch from a file as the official client does. */
async function create(inputFileId: string, more: object = {}): Promise<BatchObject> {
  const response = await post("/v1/batches", {
    input_file_id: inputFileId,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
    ...more,
  });
  expect(response.status).toBe(200);
  expect(response.headers.get("location")).toBeNull();
  return response.json();
}

async function fileOf(id: string | null): Promise<FileObject> {
  const response = await call(`/v1/files/${id}`);
  expect(response.status).toBe(200);
  return response.json();
}

describe("a batch from a file", () => {
  it("is validated, run, and ends with its output and error file", async () => {
    const prompts = new Map<string, string>();
    for (let n = 0; n < 30; n += 1) {
      prompts.set(`問 ${n}`, unique(n % 10 === 7 ? "[422]" : `question ${n}`));
    }
    const content = [...prompts].map(([id, prompt]) => `${chatLine(id, prompt)}\n`).join("");
    const input = await upload(content);
    const opened = await create(input.id, { metadata: { team: "a" } });
    expect(opened).toMatchObject({
      object: "batch",
      status: "validating",
      endpoint: "/v1/chat/completions",
      input_file_id: input.id,
      completion_window: "24h",
      output_file_id: null,
      error_file_id: null,
      errors: null,
      in_progress_at: null,
      request_counts: { total: 0, completed: 0, failed: 0 },
      metadata: { team: "a" },
    });
    expect(opened.expires_at).toBe(opened.created_at + 86_400);

    const end = await ended(opened.id);
    const stem = opened.id.slice("batch_".length);
    expect(end).toMatchObject({
      status: "completed",
      model: "m",
      errors: null,
      output_file_id: `file-${stem}-output`,
      error_file_id: `file-${stem}-error`,
      request_counts: { total: 30, completed: 27, failed: 3 },
    });
    for (const at of [end.in_progress_at, end.finalizing_at, end.completed_at]) {
      expect(at).toBeGreaterThanOrEqual(end.created_at);
    }

    const good = [...prompts].filter(([, prompt]) => !prompt.includes("[422]"));
    const output = linesOf(
      (await bodyOf(await call(`/v1/files/${end.output_file_id}/content`))).text,
    );
    expect(output.map(({ custom_id }) => custom_id)).toEqual(good.map(([id]) => id));
    for (const [n, [, prompt]] of good.entries()) {
      expect(output[n]).toMatchObject({
        id: expect.stringMatching(new RegExp(`^batch_req_${stem}_[0-9]+$`)),
        error: null,
        response: { status_code: 200, request_id: expect.stringMatching(/\S/) },
      });
      expect(JSON.stringify(output[n]?.response?.body)).toContain(await digestOf(prompt));
    }
    const errors = linesOf(
      (await bodyOf(await call(`/v1/files/${end.error_file_id}/content`))).text,
    );
    expect(errors.map(({ custom_id }) => custom_id)).toEqual(["問 7", "問 17", "問 27"]);
    for (const line of errors) {
      expect(line).toMatchObject({
        error: null,
        response: { status_code: 422, body: { error: { type: "unprocessable_entity_error" } } },
      });
    }
    const ids = [...output, ...errors].map(({ id }) => id);
    expect(new Set(ids).size).toBe(30);
  });

  it("says its files' bytes exactly, and lists them", async () => {
    const lines = [
      chatLine("日本語 🙂", unique("質問")),
      chatLine("b", unique("[pretty]")),
      chatLine("c", unique("[401]")),
    ];
    const { id } = await create((await upload(lines.join("\n"))).id);
    const end = await ended(id);
    for (const [fileId, kind] of [
      [end.output_file_id, "output"],
      [end.error_file_id, "error"],
    ] as const) {
      const file = await fileOf(fileId);
      const { bytes } = await bodyOf(await call(`/v1/files/${fileId}/content`));
      expect(file).toMatchObject({
        id: fileId,
        object: "file",
        purpose: "batch_output",
        filename: `${id}_${kind}.jsonl`,
        bytes: bytes.length,
      });
      const list: { data: FileObject[] } = await (
        await call("/v1/files?purpose=batch_output")
      ).json();
      expect(list.data).toContainEqual(file);
    }
  });

  it("has only the file it needs", async () => {
    const good = await ended((await create((await upload(chatLine("a", unique("a")))).id)).id);
    expect([good.output_file_id, good.error_file_id]).toEqual([expect.any(String), null]);
    const bad = await ended((await create((await upload(chatLine("a", unique("[400]")))).id)).id);
    expect([bad.output_file_id, bad.error_file_id]).toEqual([null, expect.any(String)]);
    const stem = good.id.slice("batch_".length);
    expect((await call(`/v1/files/file-${stem}-error`)).status).toBe(404);
  });

  it("runs for every supported endpoint, with that endpoint's content in the summary", async () => {
    const bodies: [endpoint: string, body: object][] = [
      ["/v1/responses", { model: "m", input: unique("a") }],
      ["/v1/embeddings", { model: "m", input: unique("b") }],
      ["/v1/completions", { model: "m", prompt: unique("c") }],
      ["/v1/moderations", { model: "m", input: unique("d") }],
    ];
    for (const [endpoint, body] of bodies) {
      const line = JSON.stringify({ custom_id: "a", method: "POST", url: endpoint, body });
      const { id } = await create((await upload(line)).id, { endpoint });
      expect((await ended(id)).request_counts.completed).toBe(1);
      const content = (await results(id)).success[0]?.content;
      if (endpoint === "/v1/responses" || endpoint === "/v1/completions") {
        expect(content).toMatch(/^digest:[0-9a-f]{16}/);
      } else {
        expect(content).toBeInstanceOf(Array);
      }
    }
  });

  it("may be made twice from the same file", async () => {
    const input = await upload(chatLine("a", unique("a")));
    const [first, second] = [await create(input.id), await create(input.id)];
    expect(first.id).not.toBe(second.id);
    for (const { id } of [first, second]) {
      expect(await ended(id)).toMatchObject({ status: "completed", request_counts: { total: 1 } });
    }
  });

  it("keeps running when its file is deleted after it was read", async () => {
    const lines = [chatLine("slow", unique("[hang first]")), chatLine("b", unique("b"))];
    const input = await upload(lines.join("\n"));
    const { id } = await create(input.id);
    await until(
      async () => (await (await call(`/v1/batches/${id}`)).json()) as BatchObject,
      ({ status }) => status !== "validating",
    );
    await call(`/v1/files/${input.id}`, { method: "DELETE" });
    expect(await ended(id)).toMatchObject({
      status: "completed",
      input_file_id: input.id,
      request_counts: { total: 2, completed: 2 },
    });
  });

  it("fails when its file's bytes are gone before they are read", async () => {
    const input = await upload(chatLine("a", unique("a")));
    await env.FILES.delete(`files/default/${input.id}`);
    const { id } = await create(input.id);
    expect(await ended(id)).toMatchObject({
      status: "failed",
      errors: { data: [{ code: "file_not_found", param: "input_file_id", line: null }] },
      request_counts: { total: 0 },
    });
  });

  it("is refused with a deleted file, and with another batch's output", async () => {
    const input = await upload(chatLine("a", unique("a")));
    const { id } = await create(input.id);
    const { output_file_id } = await ended(id);
    await call(`/v1/files/${input.id}`, { method: "DELETE" });
    const endpoint = "/v1/chat/completions";
    const deleted = await post("/v1/batches", { input_file_id: input.id, endpoint });
    expect(deleted.status).toBe(404);
    expect(await deleted.json()).toMatchObject({ error: { param: "input_file_id" } });
    const output = await post("/v1/batches", { input_file_id: output_file_id, endpoint });
    expect(output.status).toBe(400);
    expect(await output.json()).toMatchObject({ error: { param: "input_file_id" } });
  });
});
