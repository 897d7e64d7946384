import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { type FormRules, receiveForm } from "../../src/api/form.ts";
import {
  call,
  chatLine,
  errorOf,
  FORM_TYPE,
  formBytes,
  postForm,
  unique,
} from "../support/worker/client.ts";

const file = { name: "file", filename: "in.jsonl", content: chatLine("a", unique("a")) };
const purpose = { name: "purpose", content: "batch" };
const RULES: FormRules = { file: "file", maxBytes: 1e9, advice: "", fields: ["purpose"] };

/** A field again and again, as a form may have it. */
const many = (count: number) => Array.from({ length: count }, () => purpose);

/** What is stored: R2 keys, and ids in the list. */
async function stored() {
  const { objects } = await env.FILES.list();
  const list: { data: { id: string }[] } = await (await call("/v1/files")).json();
  return { keys: objects.map(({ key }) => key), ids: list.data.map(({ id }) => id) };
}

describe("an upload that is refused", () => {
  it.each<[why: string, param: string, parts: Parameters<typeof formBytes>[0]]>([
    ["purpose is missing", "purpose", [file]],
    ["purpose is another", "purpose", [file, { name: "purpose", content: "fine-tune" }]],
    ["purpose is that of output", "purpose", [file, { name: "purpose", content: "batch_output" }]],
    ["purpose is empty", "purpose", [{ name: "purpose", content: "" }, file]],
    ["file is missing", "file", [purpose]],
    ["file is a text, not a file", "file", [purpose, { name: "file", content: "{}" }]],
    ["file has another name", "document", [purpose, { ...file, name: "document" }]],
    ["a field is unknown", "user", [purpose, { name: "user", content: "somebody" }, file]],
    [
      "a field is misspelt",
      "expire_after[seconds]",
      [purpose, file, { name: "expire_after[seconds]", content: "3600" }],
    ],
    ["its name is too long", "file", [purpose, { ...file, filename: "n".repeat(256) }]],
    ["its name has a NUL", "file", [purpose, { ...file, filename: "a\0.jsonl" }]],
    [
      "a field is unknown, behind many",
      "user",
      [purpose, file, ...many(18), { name: "user", content: "somebody" }],
    ],
    ["there are two files", "file", [purpose, file, file]],
    ["there is another file", "file", [{ ...file, name: "document" }, file, purpose]],
    [
      "the anchor is unknown",
      "expires_after[anchor]",
      [
        purpose,
        { name: "expires_after[anchor]", content: "last_active_at" },
        { name: "expires_after[seconds]", content: "3600" },
        file,
      ],
    ],
    [
      "the anchor is missing",
      "expires_after[anchor]",
      [purpose, { name: "expires_after[seconds]", content: "3600" }, file],
    ],
    ...["3599", "2592001", "", "soon", "3600.5", "-3600", "0xe10", "3.6e3", " 3600", "+3600"].map(
      (seconds): [string, string, Parameters<typeof formBytes>[0]] => [
        `seconds are '${seconds}'`,
        "expires_after[seconds]",
        [
          purpose,
          { name: "expires_after[anchor]", content: "created_at" },
          { name: "expires_after[seconds]", content: seconds },
          file,
        ],
      ],
    ),
    [
      "seconds are missing",
      "expires_after[seconds]",
      [purpose, { name: "expires_after[anchor]", content: "created_at" }, file],
    ],
  ])("because %s names %s and leaves nothing behind", async (_, param, parts) => {
    const before = await stored();
    const response = await postForm(formBytes(parts));
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    expect(error).toMatchObject({ type: "invalid_request_error", param });
    expect(error.message).toContain(param);
    expect(await stored()).toEqual(before);
  });

  it.each([
    ["of 22 parts", [file, ...many(21)]],
    ["of 22 parts, the file last", [...many(21), file]],
    ["of 50,000 parts", [...many(25_000), file, ...many(25_000)]],
    ["of 50,000 files", Array.from({ length: 50_000 }, () => file)],
  ])("because it is a form %s leaves nothing behind", async (_, parts) => {
    const before = await stored();
    const response = await postForm(formBytes(parts));
    expect(response.status).toBe(400);
    expect((await errorOf(response)).message).toMatch(/more than 21 parts|takes one file/);
    expect(await stored()).toEqual(before);
  });

  it("because its file has no filename says what a file part is", async () => {
    const response = await postForm(formBytes([purpose, { name: "file", content: "in.jsonl" }]));
    expect((await errorOf(response)).message).toMatch(/no filename \(curl: -F file=@/);
  });

  it.each([
    ["nothing", FORM_TYPE, ""],
    ["no form", FORM_TYPE, "purpose=batch"],
    ["a form with another boundary", "multipart/form-data; boundary=other", formBytes([file])],
  ])("because it is %s is a 400 in OpenAI's shape", async (_, type, body) => {
    const before = await stored();
    const response = await postForm(body, undefined, type);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: {
        message: expect.stringMatching(/\S/),
        type: "invalid_request_error",
        param: null,
        code: null,
      },
    });
    expect(await stored()).toEqual(before);
  });

  it.each([
    ["JSON", "application/json", '{"purpose":"batch"}'],
    ["a form of another kind", "application/x-www-form-urlencoded", "purpose=batch"],
    ["a form without its boundary", "multipart/form-data", "--x--"],
  ])("because it is %s is a 415 that says what is taken", async (_, type, body) => {
    const before = await stored();
    const response = await postForm(body, undefined, type);
    expect(response.status).toBe(415);
    expect(await response.json()).toEqual({
      error: {
        message: expect.stringContaining("multipart/form-data with a file named 'file', purpose"),
        type: "invalid_request_error",
        param: null,
        code: "unsupported_media_type",
      },
    });
    expect(await stored()).toEqual(before);
  });

  it.each([
    ["in its file", 0.5],
    ["just before its end", 0.97],
    ["in its first header", 0.05],
  ])("because the form ends %s leaves nothing behind", async (_, share) => {
    const before = await stored();
    const whole = formBytes([purpose, { ...file, content: "x".repeat(2_000) }]);
    const response = await postForm(whole.slice(0, Math.floor(whole.length * share)));
    expect(response.status).toBe(400);
    expect((await errorOf(response)).message).toMatch(/broke off|not valid/);
    expect(await stored()).toEqual(before);
  });

  it("because the form ends after parts of it went to R2 leaves nothing behind", async () => {
    const before = await stored();
    const content = new Uint8Array(9 * 1024 * 1024).fill(0x61);
    const whole = formBytes([purpose, { ...file, content }]);
    const response = await postForm(whole.slice(0, -1024));
    expect(response.status).toBe(400);
    expect(await stored()).toEqual(before);
  });
});

describe("an upload whose client goes away", () => {
  it.each([
    ["in the first part", 50_000],
    ["after parts of it went to R2", 9 * 1024 * 1024],
  ])("%s ends and leaves nothing behind", async (_, length) => {
    const before = await stored();
    const content = new Uint8Array(length + 1_000).fill(0x61);
    const whole = formBytes([purpose, { ...file, content }]);
    let pulls = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulls += 1;
        if (pulls === 1) controller.enqueue(whole.slice(0, length));
        else controller.error(new Error("the client went away"));
      },
    });
    const headers = { "content-type": FORM_TYPE };
    const request = new Request("http://muster.test/v1/files", { method: "POST", body, headers });
    const received = await receiveForm(request, env.FILES, "files/default/broken", RULES);
    expect(received).toMatchObject({ ok: false, problem: { code: "invalid_request" } });
    expect(await stored()).toEqual(before);
  });
});

describe("an upload that R2 does not take", () => {
  it.each([
    ["at once", 1_000],
    ["in parts", 9 * 1024 * 1024],
  ])("%s throws, which is a 500, and does not hang", async (_, length) => {
    const failing = () => Promise.reject(new Error("R2 is out of reach"));
    const bucket: Partial<R2Bucket> = { put: failing, createMultipartUpload: failing };
    const body = formBytes([purpose, { ...file, content: new Uint8Array(length) }]);
    const headers = { "content-type": FORM_TYPE };
    const request = new Request("http://muster.test/v1/files", { method: "POST", body, headers });
    const received = receiveForm(request, bucket as R2Bucket, "files/default/refused", RULES);
    await expect(received).rejects.toThrow("R2 is out of reach");
  });
});
