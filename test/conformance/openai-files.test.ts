import { createReadStream, readFileSync } from "node:fs";
import OpenAI, {
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  toFile,
} from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Running, startTestMuster } from "../support/muster.ts";
import { QUESTIONS } from "../support/requests.ts";

/** `client.files` of the official client. */

let muster: Running;
let client: OpenAI;

beforeAll(async () => {
  muster = await startTestMuster();
  client = new OpenAI({ baseURL: muster.url, apiKey: muster.apiKey, fetch: muster.fetch });
});
afterAll(() => muster.stop());

const text = (content: string, name = "in.jsonl") => toFile(Buffer.from(content), name);

/** The error that a request must end with. */
async function refusal(request: Promise<unknown>): Promise<APIError> {
  const error: unknown = await request.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof APIError)) throw new Error(`no APIError: ${String(error)}`);
  return error;
}

describe("files.create", () => {
  it("answers a file object", async () => {
    const before = Math.floor(Date.now() / 1000);
    const file = await client.files.create({ file: await text("{}\n"), purpose: "batch" });
    expect(file).toEqual({
      id: expect.stringMatching(/^file-/),
      object: "file",
      bytes: 3,
      created_at: file.created_at,
      expires_at: file.created_at + 30 * 86_400,
      filename: "in.jsonl",
      purpose: "batch",
      status: "processed",
    });
    expect(file._request_id).toMatch(/^req_/);
    expect(file.created_at).toBeGreaterThanOrEqual(before);
    expect(file.created_at).toBeLessThanOrEqual(Date.now() / 1000);
    expect(await client.files.waitForProcessing(file.id)).toMatchObject({ status: "processed" });
  });

  it("takes what the client can upload: a stream, a web stream, bytes, a File", async () => {
    const bytes = readFileSync(QUESTIONS);
    const uploads = [
      createReadStream(QUESTIONS),
      new Response(new Blob([bytes]).stream()),
      toFile(bytes, "bytes.jsonl"),
      new File([bytes], "質問 🙂.jsonl"),
    ];
    for (const upload of uploads) {
      const made = await client.files.create({ file: await upload, purpose: "batch" });
      expect(made.bytes).toBe(bytes.length);
      const content = await (await client.files.content(made.id)).arrayBuffer();
      expect(Buffer.from(content).equals(bytes)).toBe(true);
      if (upload instanceof File) expect(made.filename).toBe("質問 🙂.jsonl");
    }
  });

  it("takes a body of unknown length, its parts in any order", async () => {
    const field = (name: string, value: string) =>
      `--b\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
    const file = `--b\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}\n\r\n`;
    const purpose = field("purpose", "batch");
    for (const parts of [
      [file, purpose],
      [purpose, file],
    ]) {
      const pieces = [...parts, "--b--\r\n"].join("").match(/.{1,7}/gs) ?? [];
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          const piece = pieces.shift();
          if (piece === undefined) controller.close();
          else controller.enqueue(Buffer.from(piece));
        },
      });
      const sent: RequestInit & { duplex: "half" } = {
        method: "POST",
        headers: {
          authorization: `Bearer ${muster.apiKey}`,
          "content-type": "multipart/form-data; boundary=b",
        },
        body,
        duplex: "half",
      };
      const response = await muster.fetch(`${muster.url}/files`, sent);
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ bytes: 3, filename: "a.jsonl" });
    }
  });

  it("keeps a file as long as expires_after says", async () => {
    for (const seconds of [3_600, 2_592_000]) {
      const file = await client.files.create({
        file: await text("{}"),
        purpose: "batch",
        expires_after: { anchor: "created_at", seconds },
      });
      expect(file.expires_at).toBe(file.created_at + seconds);
    }
    for (const seconds of [3_599, 2_592_001, 3_600.5]) {
      const expires_after = { anchor: "created_at" as const, seconds };
      const file = await text("{}");
      const error = await refusal(client.files.create({ file, purpose: "batch", expires_after }));
      expect(error).toBeInstanceOf(BadRequestError);
      expect(error.param).toBe("expires_after[seconds]");
    }
  });

  it("refuses other purposes, in the client's error type", async () => {
    const purposes = ["assistants", "fine-tune", "vision", "user_data", "evals"] as const;
    for (const purpose of purposes) {
      const error = await refusal(client.files.create({ file: await text("{}"), purpose }));
      expect(error).toBeInstanceOf(BadRequestError);
      expect(error).toMatchObject({ status: 400, type: "invalid_request_error", param: "purpose" });
      expect(error.message).toContain("'batch'");
      expect(error.requestID).toMatch(/^req_/);
    }
  });
});

describe("files.list, retrieve, content, delete", () => {
  it("pages through the list by itself, by page, in both orders, by purpose", async () => {
    const made: string[] = [];
    for (let n = 0; n < 5; n += 1) {
      made.push((await client.files.create({ file: await text(`${n}`), purpose: "batch" })).id);
    }
    for (const order of ["asc", "desc"] as const) {
      const walked: string[] = [];
      for await (const { id } of client.files.list({ order, limit: 2, purpose: "batch" })) {
        walked.push(id);
      }
      const ours = walked.filter((id) => made.includes(id));
      expect(ours).toEqual(order === "asc" ? made : made.toReversed());
      expect(new Set(walked).size).toBe(walked.length);
    }
    const page = await client.files.list({ limit: 2 });
    expect(page.data.map(({ id }) => id)).toEqual(made.slice(-2).toReversed());
    expect(page.has_more).toBe(true);
    const next = await page.getNextPage();
    expect(next.data.map(({ id }) => id)).toEqual(made.slice(1, 3).toReversed());
    const after = await client.files.list({ after: made[1] ?? "", order: "asc", limit: 1 });
    expect(after.data[0]?.id).toBe(made[2]);
    for (const purpose of ["assistants", "batch_output"]) {
      expect((await client.files.list({ purpose })).data).toEqual([]);
    }
  });

  it("deletes what a list gives while it pages, to the last", async () => {
    for await (const { id } of client.files.list({ limit: 3 })) {
      expect(await client.files.delete(id)).toMatchObject({ id, object: "file", deleted: true });
    }
    expect((await client.files.list()).data).toEqual([]);
  });

  it("knows a deleted file, and one that never was, no more", async () => {
    const { id } = await client.files.create({ file: await text("{}"), purpose: "batch" });
    await client.files.delete(id);
    for (const gone of [id, "file-nothing", "../batches", "%2e%2e"]) {
      for (const request of ["retrieve", "content", "delete"] as const) {
        expect(await refusal(client.files[request](gone))).toBeInstanceOf(NotFoundError);
      }
    }
  });

  it("refuses a wrong key, and a wrong query", async () => {
    const stranger = client.withOptions({ apiKey: "sk-wrong" });
    expect(await refusal(stranger.files.list())).toBeInstanceOf(AuthenticationError);
    const error = await refusal(client.files.list({ limit: 0 }));
    expect(error).toMatchObject({ status: 400, param: "limit" });
  });
});

describe("any other route", () => {
  it("is refused in the shape that the client reads", async () => {
    const unknown = await refusal(client.fineTuning.jobs.list());
    expect(unknown).toMatchObject({
      status: 404,
      code: "not_found",
      type: "invalid_request_error",
    });
    expect(unknown.message).toContain("/v1/fine_tuning/jobs");
    const method = await refusal(client.put("/files"));
    expect(method).toMatchObject({ status: 405, code: "method_not_allowed" });
    const media = await refusal(client.post("/files", { body: { purpose: "batch" } }));
    expect(media).toMatchObject({ status: 415, code: "unsupported_media_type" });
    const large = await refusal(
      client.post("/uploads", { body: { filename: "x".repeat(70_000) } }),
    );
    expect(large).toMatchObject({ status: 413, code: "too_large" });
    for (const error of [unknown, method, media, large]) {
      expect(error.requestID).toMatch(/^req_/);
      expect(error).not.toBeInstanceOf(InternalServerError);
    }
  });
});
