import { env } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { BatchList, BatchObject } from "../../src/wire/batch.ts";
import type { FileObject } from "../../src/wire/file.ts";
import {
  call,
  chatLine,
  errorOf,
  FORM_TYPE,
  formBytes,
  post,
  postForm,
  unique,
  until,
} from "../support/worker/client.ts";
import { ask, BATCHES, request } from "../support/worker/messages.ts";
import { adminPost, newKey, newProject } from "../support/worker/organization.ts";

type Set = Record<string, number | "none" | null>;

/** A project with quotas, and a key of it. */
async function limited(quotas: Set): Promise<{ project: string; key: string }> {
  const { id } = await newProject({ muster: { quotas } });
  return { project: id, key: (await newKey(id)).value };
}

/** A batch whose tasks wait an hour after their first call. */
const longBatch = (count = 1) => ({
  model: "m",
  prompts: Array.from({ length: count }, () => unique("[after an hour]")),
});

function sendFile(content: string, key: string): Promise<Response> {
  const parts = [
    { name: "purpose", content: "batch" },
    { name: "file", filename: "a.jsonl", content },
  ];
  return postForm(formBytes(parts), key);
}

async function filesInR2(project: string): Promise<number> {
  return (await env.FILES.list({ prefix: `files/${project}/` })).objects.length;
}

async function batchesOf(key: string): Promise<string[]> {
  const list: BatchList = await (await call("/v1/batches?limit=100", {}, key)).json();
  return list.data.map(({ id }) => id);
}

/** The refusal of a quota: what it says, and that the official clients leave it at that. */
async function expectRefused(response: Response, quota: string): Promise<string> {
  expect(response.status).toBe(429);
  expect(response.headers.get("retry-after")).toBe("60");
  expect(response.headers.get("x-should-retry")).toBe("false");
  const { code, message } = await errorOf(response);
  expect(code).toBe(`${quota}_quota_exceeded`);
  return message;
}

describe("requests a minute", () => {
  it("are told in every answer, as the draft of RateLimit headers has them", async () => {
    const { key } = await limited({ requests_per_minute: 600 });
    for (const path of ["/v1/batches", "/v1/batches/batch_none", "/v1/nothing", "/metrics"]) {
      const { headers } = await call(path, {}, key);
      expect(headers.get("ratelimit-policy")).toBe('"requests";q=600;w=60');
      expect(headers.get("ratelimit")).toMatch(/^"requests";r=59\d;t=1$/);
    }
  });

  it("beyond the quota are 429 with the time to wait, at each door, and no other's", async () => {
    const { key } = await limited({ requests_per_minute: 1 });
    const other = await limited({});
    expect((await call("/v1/batches", {}, key)).status).toBe(200);
    const refused = await call("/v1/batches", {}, key);
    expect(refused.status).toBe(429);
    const seconds = Number(refused.headers.get("retry-after"));
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(60);
    expect(refused.headers.get("ratelimit")).toMatch(/^"requests";r=0;t=\d+$/);
    expect((await errorOf(refused)).code).toBe("requests_per_minute_exceeded");
    const atMessages = await ask(BATCHES, {}, key);
    expect(atMessages.status).toBe(429);
    expect(await atMessages.json()).toMatchObject({ error: { type: "rate_limit_error" } });
    const free = await call("/v1/batches", {}, other.key);
    expect(free.status).toBe(200);
    expect(free.headers.has("ratelimit")).toBe(false);
  });

  it("are those of all keys of the project", async () => {
    const { project, key } = await limited({ requests_per_minute: 1 });
    const second = (await newKey(project)).value;
    expect((await call("/v1/batches", {}, key)).status).toBe(200);
    expect((await call("/v1/batches", {}, second)).status).toBe(429);
    await adminPost(`/${project}`, { muster: { quotas: { requests_per_minute: "none" } } });
    expect((await call("/v1/batches", {}, second)).status).toBe(200);
  });
});

describe("open batches", () => {
  it("beyond the quota are refused before anything is stored, until one has ended", async () => {
    const { key } = await limited({ open_batches: 1 });
    const first: BatchObject = await (await post("/v1/batches", longBatch(), key)).json();
    const message = await expectRefused(
      await post("/v1/batches", longBatch(), key),
      "open_batches",
    );
    expect(message).toContain("1 open batches, and has 1");
    expect(await batchesOf(key)).toEqual([first.id]);
    await call(`/v1/batches/${first.id}/cancel`, { method: "POST" }, key);
    const accepted = await until(
      () => post("/v1/batches", longBatch(), key),
      ({ status }) => status === 202,
    );
    expect(accepted.status).toBe(202);
  });

  it("asked for at once are as many as the quota has", async () => {
    const { key } = await limited({ open_batches: 3 });
    const all = await Promise.all(
      Array.from({ length: 10 }, () => post("/v1/batches", longBatch(), key)),
    );
    expect(all.filter(({ status }) => status === 202)).toHaveLength(3);
    expect(all.filter(({ status }) => status === 429)).toHaveLength(7);
    expect(await batchesOf(key)).toHaveLength(3);
  });

  it("are held to by a retry, too", async () => {
    const { key } = await limited({ open_batches: 1, waiting_tasks: 4 });
    const first: BatchObject = await (await post("/v1/batches", longBatch(3), key)).json();
    await call(`/v1/batches/${first.id}/cancel`, { method: "POST" }, key);
    const second: BatchObject = await until(
      async () => (await post("/v1/batches", longBatch(2), key)).json(),
      ({ id }) => id !== undefined,
    );
    const retried = () => call(`/v1/batches/${first.id}/retry`, { method: "POST" }, key);
    await expectRefused(await retried(), "open_batches");
    await call(`/v1/batches/${second.id}/cancel`, { method: "POST" }, key);
    const accepted = await until(retried, ({ status }) => status !== 429);
    expect(accepted.status).toBe(200);
    // One that runs is not retried; it is told so, and not of a quota.
    expect((await retried()).status).toBe(400);
  });

  it("that are asked for again are there already", async () => {
    const { key } = await limited({ open_batches: 1 });
    const body = JSON.stringify(longBatch());
    const headers = { "x-stainless-retry-count": "1" };
    const first: BatchObject = await (await post("/v1/batches", body, key)).json();
    const again = await call("/v1/batches", { method: "POST", body, headers }, key);
    expect(again.status).toBe(202);
    expect(((await again.json()) as BatchObject).id).toBe(first.id);
  });

  it.each([
    ["says that it is a retry", {}, { "x-stainless-retry-count": "1" }],
    ["has the same key", { "idempotency-key": "first" }, {}],
  ])("at Anthropic's door are there when the request %s", async (_, headers, again) => {
    const { key } = await limited({ open_batches: 1 });
    const body = (prompt: string) => JSON.stringify({ requests: [request("a", prompt)] });
    const sent = { method: "POST", body: body(unique("[after an hour]")), headers };
    const first: { id: string } = await (await ask(BATCHES, sent, key)).json();
    const second = await ask(BATCHES, { ...sent, headers: { ...headers, ...again } }, key);
    expect(second.status).toBe(200);
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(await second.json()).toMatchObject({ id: first.id });
    for (const said of [{ "x-stainless-retry-count": "1" }, { "idempotency-key": "second" }]) {
      const other = { method: "POST", body: body(unique("[after an hour]")), headers: said };
      expect((await ask(BATCHES, other, key)).status).toBe(429);
    }
    expect(await batchesOf(key)).toHaveLength(1);
  });

  it("are refused at Anthropic's door in its own shape", async () => {
    const { key } = await limited({ open_batches: 0 });
    const body = JSON.stringify({ requests: [request("a", unique("a"))] });
    const refused = await ask(BATCHES, { method: "POST", body }, key);
    expect(refused.status).toBe(429);
    expect(refused.headers.get("x-should-retry")).toBe("false");
    expect(await refused.json()).toMatchObject({
      error: { type: "rate_limit_error", message: expect.stringContaining("0 open batches") },
    });
  });
});

describe("waiting tasks", () => {
  it("are counted before their batch is opened, inline and by a file's lines", async () => {
    const { key } = await limited({ waiting_tasks: 3 });
    const four = await post("/v1/batches", longBatch(4), key);
    expect(await expectRefused(four, "waiting_tasks")).toContain("has 0, and this would add 4");
    const lines = ["a", "b", "c", "d"].map((id) => chatLine(id, unique("[after an hour]")));
    const file: FileObject = await (await sendFile(lines.join("\n"), key)).json();
    const body = { input_file_id: file.id, endpoint: "/v1/chat/completions" };
    expect(await expectRefused(await post("/v1/batches", body, key), "waiting_tasks")).toContain(
      "add 4",
    );
    expect(await batchesOf(key)).toEqual([]);
    expect((await post("/v1/batches", longBatch(3), key)).status).toBe(202);
  });

  it("that are done wait no more", async () => {
    const { key } = await limited({ waiting_tasks: 2 });
    const quick = () => ({ model: "m", prompts: [unique("a"), unique("b")] });
    for (let n = 0; n < 3; n += 1) {
      const { status } = await until(
        () => post("/v1/batches", quick(), key),
        (response) => response.status === 202,
      );
      expect(status).toBe(202);
    }
  });
});

describe("stored bytes", () => {
  it("beyond the quota are refused, and none of them are kept", async () => {
    const { project, key } = await limited({ stored_bytes: 1_000 });
    const refused = await sendFile("x".repeat(1_500), key);
    const message = await expectRefused(refused, "stored_bytes");
    expect(message).toContain(
      "1000 bytes of files, tasks, results and kept answers, has 0, and this would add 1707.",
    );
    // Of a long form the size of the file is not known before it is read, and it is not read.
    const long = await expectRefused(await sendFile("x".repeat(5_000), key), "stored_bytes");
    expect(long).toContain("has 0, and this is more than is left.");
    expect(await filesInR2(project)).toBe(0);
    const uploads = await post(
      "/v1/uploads",
      { bytes: 1_001, filename: "a", mime_type: "application/jsonl", purpose: "batch" },
      key,
    );
    await expectRefused(uploads, "stored_bytes");
    const list: { data: [] } = await (await call("/v1/files", {}, key)).json();
    expect(list.data).toEqual([]);
  });

  it("that were kept for a key are answered again, and others with a key are refused", async () => {
    const { project, key } = await limited({ stored_bytes: 5_000 });
    const send = (content: string, name: string) => {
      const body = formBytes([
        { name: "purpose", content: "batch" },
        { name: "file", filename: "a.jsonl", content },
      ]);
      const headers = { "content-type": FORM_TYPE, "idempotency-key": name };
      return call("/v1/files", { method: "POST", body, headers }, key);
    };
    const first = await send("x".repeat(4_500), "first");
    const again = await send("x".repeat(4_500), "first");
    expect(again.status).toBe(200);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect(await again.text()).toBe(await first.text());
    await expectRefused(await send("y".repeat(4_500), "second"), "stored_bytes");
    expect(await filesInR2(project)).toBe(1);
  });

  it("of a long batch of messages are its own when it is asked for again", async () => {
    const filler = "x".repeat(1_500_000);
    const requests = Array.from({ length: 6 }, (_, n) =>
      request(`r-${n}`, `${unique("[after an hour]")}${filler}`),
    );
    const body = JSON.stringify({ requests });
    const { project, key } = await limited({ stored_bytes: body.length + 5_000_000 });
    const first: { id: string } = await (await ask(BATCHES, { method: "POST", body }, key)).json();
    const headers = { "x-stainless-retry-count": "1" };
    const again = await ask(BATCHES, { method: "POST", body, headers }, key);
    expect(again.status).toBe(200);
    expect(await again.json()).toMatchObject({ id: first.id });
    expect(await filesInR2(project)).toBe(1);
    expect((await ask(BATCHES, { method: "POST", body }, key)).status).toBe(429);
    expect(await filesInR2(project)).toBe(1);
  });

  it("are given back by what is deleted", async () => {
    const { project, key } = await limited({ stored_bytes: 2_000 });
    const first: FileObject = await (await sendFile("x".repeat(1_200), key)).json();
    await expectRefused(await sendFile("y".repeat(1_200), key), "stored_bytes");
    expect(await filesInR2(project)).toBe(1);
    expect((await call(`/v1/files/${first.id}`, { method: "DELETE" }, key)).status).toBe(200);
    expect((await sendFile("y".repeat(1_200), key)).status).toBe(200);
  });

  it("of parts count, where they are more than their upload was announced with", async () => {
    const { key } = await limited({ stored_bytes: 2_000 });
    const asked = { bytes: 800, filename: "a", mime_type: "text/plain", purpose: "batch" };
    const { id }: { id: string } = await (await post("/v1/uploads", asked, key)).json();
    const sendPart = (bytes: number) => {
      const content = new Uint8Array(bytes);
      const body = formBytes([{ name: "data", filename: "blob", content }]);
      const init = { method: "POST", body, headers: { "content-type": FORM_TYPE } };
      return call(`/v1/uploads/${id}/parts`, init, key);
    };
    expect((await sendPart(800)).status).toBe(200);
    expect((await sendPart(400)).status).toBe(200);
    await expectRefused(await sendFile("x".repeat(900), key), "stored_bytes");
    expect((await sendFile("x".repeat(300), key)).status).toBe(200);
    await expectRefused(await sendPart(400), "stored_bytes");
  });

  it("of tasks count until their batch is gone", async () => {
    const { key } = await limited({ stored_bytes: 3_000 });
    const asked = () => ({
      model: "m",
      prompts: [`${unique("[after an hour]")}${"あ".repeat(700)}`],
    });
    expect((await post("/v1/batches", asked(), key)).status).toBe(202);
    const message = await expectRefused(await post("/v1/batches", asked(), key), "stored_bytes");
    expect(message).toMatch(/has 2\d{3}, and this would add 2\d{3}\./);
    expect(await batchesOf(key)).toHaveLength(1);
  });

  /** Uploads a file of about a kilobyte of lines that take an hour. */
  async function lines(key: string): Promise<FileObject> {
    const line = chatLine("a", `${unique("[after an hour]")}${"x".repeat(900)}`);
    const response = await sendFile(line, key);
    expect(response.status).toBe(200);
    return response.json();
  }
  const endpoint = "/v1/chat/completions";
  const fromFile = (id: string, key: string) =>
    post("/v1/batches", { input_file_id: id, endpoint, completion_window: "24h" }, key);

  it("of a file's lines count with their batch when the file is deleted", async () => {
    const { key } = await limited({ stored_bytes: 2_600 });
    const first = await lines(key);
    expect((await fromFile(first.id, key)).status).toBe(200);
    // The batch and its file count once.
    const second = await lines(key);
    expect((await fromFile(second.id, key)).status).toBe(200);
    expect((await call(`/v1/files/${first.id}`, { method: "DELETE" }, key)).status).toBe(200);
    expect((await call(`/v1/files/${second.id}`, { method: "DELETE" }, key)).status).toBe(200);
    const message = await expectRefused(await sendFile("x".repeat(900), key), "stored_bytes");
    expect(message).toMatch(/has 2\d{3}, /);
  });

  it("of a file's lines count with each batch of it but the first", async () => {
    const { key } = await limited({ stored_bytes: 3_000 });
    const { id, bytes } = await lines(key);
    expect((await fromFile(id, key)).status).toBe(200);
    expect((await fromFile(id, key)).status).toBe(200);
    const message = await expectRefused(await fromFile(id, key), "stored_bytes");
    expect(message).toContain(`has ${2 * bytes + 207}, and this would add ${bytes}.`);
  });

  it("of lines that were not good count no more", async () => {
    const { key } = await limited({ stored_bytes: 2_000 });
    const file: FileObject = await (await sendFile("x".repeat(1_200), key)).json();
    const batch: BatchObject = await (await fromFile(file.id, key)).json();
    await until(
      async () => (await call(`/v1/batches/${batch.id}`, {}, key)).json() as Promise<BatchObject>,
      ({ status }) => status === "failed",
    );
    expect((await call(`/v1/files/${file.id}`, { method: "DELETE" }, key)).status).toBe(200);
    const again = await until(
      () => sendFile("y".repeat(1_200), key),
      ({ status }) => status !== 429,
    );
    expect(again.status).toBe(200);
  });

  it("of empty files are those of their names and rows", async () => {
    const { key } = await limited({ stored_bytes: 500 });
    expect((await sendFile("", key)).status).toBe(200);
    expect((await sendFile("", key)).status).toBe(200);
    const message = await expectRefused(await sendFile("", key), "stored_bytes");
    expect(message).toContain("has 414, and this would add 207.");
  });

  it("of answers that are kept for an Idempotency-Key count, too", async () => {
    const { key } = await limited({ stored_bytes: 1_000 });
    const asked = {
      name: "n".repeat(200),
      url: "https://a.example/",
      event_types: ["batch.failed"],
    };
    const send = () =>
      call(
        "/v1/webhook_endpoints",
        {
          method: "POST",
          body: JSON.stringify(asked),
          headers: { "idempotency-key": crypto.randomUUID() },
        },
        key,
      );
    expect((await sendFile("", key)).status).toBe(200);
    for (let n = 0; n < 3; n += 1) expect((await send()).status).toBe(200);
    await expectRefused(await sendFile("", key), "stored_bytes");
  });

  it("of results count, too", async () => {
    const { key } = await limited({ stored_bytes: 300 });
    const quick = () => post("/v1/batches", { model: "m", prompts: [unique("a")] }, key);
    expect((await quick()).status).toBe(202);
    const refused = await until(quick, ({ status }) => status === 429);
    await expectRefused(refused, "stored_bytes");
  });

  it("of a body without a length are counted as they came", async () => {
    const { project, key } = await limited({ stored_bytes: 1_000 });
    const parts = [
      { name: "purpose", content: "batch" },
      { name: "file", filename: "a.jsonl", content: "x".repeat(1_500) },
    ];
    const body = new Blob([formBytes(parts) as never]).stream();
    await expectRefused(await postForm(body, key), "stored_bytes");
    expect(await filesInR2(project)).toBe(0);
  });
});
