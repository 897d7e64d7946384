import { describe, expect, it } from "vitest";
import { call, errorOf, open, post, unique } from "../support/worker/client.ts";

const CHAT = "/v1/chat/completions";
const body = { model: "m", messages: [{ role: "user", content: "hi" }] };
const request = { custom_id: "a", body };

/** Ids of all batches of the project, the newest first. */
async function listed(): Promise<string[]> {
  const list: { data: { id: string }[] } = await (await call("/v1/batches?limit=100")).json();
  return list.data.map(({ id }) => id);
}

/** Sends a body that must be refused, and checks the shape of the refusal. */
async function refusal(sent: unknown, status = 400) {
  const response = await post("/v1/batches", sent);
  const text = await response.text();
  expect({ status: response.status, text }).toMatchObject({ status });
  const json: { error: Record<string, unknown> } = JSON.parse(text);
  expect(json).toEqual({
    error: {
      message: expect.stringMatching(/\S/),
      type: "invalid_request_error",
      param: json.error.param,
      code: json.error.code,
    },
  });
  return json.error as { message: string; param: string | null; code: string | null };
}

describe("a body that is no batch", () => {
  it.each([
    ["nothing", ""],
    ["no JSON", "{"],
    ["text after the JSON", '{"prompts":["a"],"model":"m"} x'],
    ["a form", "prompts=a&model=m"],
  ])("is refused as invalid_json: %s", async (_, text) => {
    const error = await refusal(text);
    expect(error).toMatchObject({ code: "invalid_json", param: null });
    expect(error.message).toContain("not JSON");
  });

  it.each([["null"], ["[]"], ['"prompts"'], ["1"], ["true"]])(
    "is refused when it is %s, not an object",
    async (text) => {
      expect((await refusal(text)).message).toContain("object");
    },
  );

  it("is refused when it says nowhere what the tasks are", async () => {
    const error = await refusal({ model: "m", endpoint: CHAT });
    expect(error.param).toBe("prompts");
    expect(error.message).toMatch(/prompts, requests or input_file_id/);
  });

  it.each([
    [{ prompts: ["a"], requests: [request], model: "m", endpoint: CHAT }, "prompts and requests"],
    [{ prompts: ["a"], input_file_id: "file-1", model: "m" }, "prompts and input_file_id"],
    [{ requests: [request], input_file_id: "f", endpoint: CHAT }, "requests and input_file_id"],
  ])("is refused when it says it twice", async (sent, both) => {
    expect((await refusal(sent)).message).toContain(both);
  });
});

describe("a wrong field is refused and named", () => {
  const prompts = { model: "m", prompts: ["a"] };
  const requests = { endpoint: CHAT, requests: [request] };
  const file = { input_file_id: "file-1", endpoint: CHAT, completion_window: "24h" };
  it.each<[param: string, sent: object]>([
    ["prompts", { ...prompts, prompts: [] }],
    ["prompts", { ...prompts, prompts: "a" }],
    ["prompts", { ...prompts, prompts: null }],
    ["prompts[1]", { ...prompts, prompts: ["a", 1] }],
    ["prompts[0]", { ...prompts, prompts: [null] }],
    ["model", { prompts: ["a"] }],
    ["model", { ...prompts, model: "" }],
    ["model", { ...prompts, model: 4 }],
    ["model", { ...prompts, model: "m".repeat(513) }],
    ["stream", { ...prompts, stream: true }],
    ["endpoint", { ...prompts, endpoint: "/v1/responses" }],
    ["requests", { ...requests, requests: [] }],
    ["requests", { ...requests, requests: {} }],
    ["requests[1]", { ...requests, requests: [request, "b"] }],
    ["requests[0].body", { ...requests, requests: [{ custom_id: "a" }] }],
    ["requests[0].body", { ...requests, requests: [{ body: "text" }] }],
    ["requests[0].body", { ...requests, requests: [{ body: [] }] }],
    ["requests[0].body", { ...requests, requests: [{ body: null }] }],
    ["requests[0].custom_id", { ...requests, requests: [{ ...request, custom_id: 7 }] }],
    ["requests[0].custom_id", { ...requests, requests: [{ ...request, custom_id: "" }] }],
    ["requests[0].custom_id", { ...requests, requests: [{ body, custom_id: "x".repeat(513) }] }],
    ["requests[0].body.model", { ...requests, requests: [{ body: { model: "m".repeat(513) } }] }],
    ["requests[1].body.stream", { ...requests, requests: [request, { body: { stream: true } }] }],
    ["endpoint", { requests: [request] }],
    ["endpoint", { ...requests, endpoint: "/v1/audio/speech" }],
    ["endpoint", { ...requests, endpoint: "chat/completions" }],
    ["endpoint", { ...requests, endpoint: null }],
    ["endpoint", { input_file_id: "file-1", completion_window: "24h" }],
    ["endpoint", { ...file, endpoint: "https://api.openai.com/v1/chat/completions" }],
    ["input_file_id", { ...file, input_file_id: 1 }],
    ["input_file_id", { ...file, input_file_id: null }],
    ["metadata", { ...prompts, metadata: "team" }],
    ["metadata", { ...prompts, metadata: [] }],
    ["metadata.n", { ...prompts, metadata: { n: 1 } }],
    ["metadata.long", { ...prompts, metadata: { long: "v".repeat(513) } }],
    ["metadata", { ...prompts, metadata: { ["k".repeat(65)]: "v" } }],
    [
      "metadata",
      { ...prompts, metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [i, "v"])) },
    ],
    ["completion_window", { ...prompts, completion_window: 24 }],
    ["completion_window", { ...prompts, completion_window: null }],
    ["completion_window", { ...prompts, completion_window: "" }],
    ["completion_window", { ...prompts, completion_window: "24" }],
    ["completion_window", { ...prompts, completion_window: "0h" }],
    ["completion_window", { ...prompts, completion_window: "31d" }],
    ["completion_window", { ...prompts, completion_window: "59s" }],
    ["completion_window", { ...prompts, completion_window: "1.5h" }],
    ["completion_window", { ...file, completion_window: "tomorrow" }],
    ["max_concurrency", { ...prompts, max_concurrency: 0 }],
    ["max_concurrency", { ...prompts, max_concurrency: "5" }],
    ["max_concurrency", { ...prompts, max_concurrency: 1.5 }],
    ["max_concurrency", { ...prompts, max_concurrency: 10_001 }],
    ["output_expires_after.seconds", { ...file, output_expires_after: { anchor: "created_at" } }],
    [
      "output_expires_after.seconds",
      { ...file, output_expires_after: { anchor: "created_at", seconds: 3_599 } },
    ],
    [
      "output_expires_after.seconds",
      { ...prompts, output_expires_after: { anchor: "created_at", seconds: 2_592_001 } },
    ],
    [
      "output_expires_after.anchor",
      { ...requests, output_expires_after: { anchor: "last_active_at", seconds: 3_600 } },
    ],
    ["webhook", { ...prompts, webhook: "https://example.com" }],
    ["webhook.url", { ...prompts, webhook: {} }],
    ["webhook.url", { ...prompts, webhook: { url: 1 } }],
    ["webhook.url", { ...prompts, webhook: { url: "example.com/hook" } }],
    ["webhook.url", { ...prompts, webhook: { url: "ftp://example.com/hook" } }],
    ["webhook.url", { ...prompts, webhook: { url: "https://user:pw@example.com/" } }],
    ["webhook.url", { ...prompts, webhook: { url: "http://169.254.169.254/latest" } }],
    ["webhook.url", { ...prompts, webhook: { url: `https://example.com/${"x".repeat(2048)}` } }],
    ["webhook.secret", { ...prompts, webhook: { url: "https://example.com/", secret: 1 } }],
    ["webhook.secret", { ...prompts, webhook: { url: "https://example.com/", secret: "s3cret" } }],
    [
      "webhook.secret",
      { ...prompts, webhook: { url: "https://example.com/", secret: `whsec_${btoa("short")}` } },
    ],
  ])("%s: %j", async (param, sent) => {
    const error = await refusal(sent);
    expect(error.param).toBe(param);
    expect(error.message).toContain(param);
  });
});

describe("an unknown field is refused, as OpenAI refuses it", () => {
  const prompts = { model: "m", prompts: ["a"] };
  const requests = { endpoint: CHAT, requests: [request] };
  const file = { input_file_id: "file-1", endpoint: CHAT, completion_window: "24h" };
  it.each<[param: string, sent: object, says: string]>([
    ["max_concurency", { ...file, max_concurency: 5 }, "'max_concurrency'"],
    ["metdata", { ...requests, metdata: {} }, "'metadata'"],
    ["model", { ...file, model: "m" }, "input_file_id"],
    ["webhook.token", { ...prompts, webhook: { url: "https://e.com/", token: "x" } }, "secret"],
    ["requests[0].id", { ...requests, requests: [{ id: "a", body }] }, "custom_id"],
    // With prompts, what is not about the batch goes into each request; a slip does not.
    ["max_concurency", { ...prompts, max_concurency: 5 }, "'max_concurrency'"],
    ["completion_windw", { ...prompts, completion_windw: "1h" }, "'completion_window'"],
    ["webhok", { ...prompts, webhok: {} }, "'webhook'"],
  ])("%s: %j", async (param, sent, says) => {
    const error = await refusal(sent);
    expect(error).toMatchObject({ param, code: "unknown_parameter" });
    expect(error.message).toContain(says);
  });

  it("but a request may be the line of a file as it is", async () => {
    const line = { ...request, method: "POST", url: CHAT };
    expect((await post("/v1/batches", { endpoint: CHAT, requests: [line] })).status).toBe(202);
    const other = { ...line, url: "/v1/embeddings" };
    const error = await refusal({ endpoint: CHAT, requests: [line, other] });
    expect(error).toMatchObject({ code: "invalid_url", param: "requests[1].url" });
  });
});

describe("a missing field is named with OpenAI's code", () => {
  it.each<[string, object]>([
    ["endpoint", { input_file_id: "file-1" }],
    ["model", { prompts: ["a"] }],
    ["requests[0].body", { endpoint: CHAT, requests: [{}] }],
  ])("%s", async (param, sent) => {
    const error = await refusal(sent);
    expect(error).toMatchObject({ param, code: "missing_required_parameter" });
    expect(error.message).toMatch(/^Missing required parameter: '/);
  });
});

describe("what the message of a refusal says", () => {
  it("lists the endpoints there are", async () => {
    const error = await refusal({ endpoint: "/v2/chat", requests: [request] });
    expect(error.message).toContain("/v1/chat/completions");
    expect(error.message).toContain("/v1/embeddings");
  });

  it("says what a completion_window takes", async () => {
    const error = await refusal({ model: "m", prompts: ["a"], completion_window: "soon" });
    expect(error.message).toContain("24h");
  });

  it("says how much metadata takes", async () => {
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`key${i}`, "v"]));
    expect((await refusal({ model: "m", prompts: ["a"], metadata: many })).message).toContain("16");
    const long = { ["k".repeat(65)]: "v" };
    expect((await refusal({ model: "m", prompts: ["a"], metadata: long })).message).toContain("64");
  });

  it("counts metadata in characters, whatever they take in memory", async () => {
    const send = (key: number, value: number) =>
      post("/v1/batches", {
        model: "m",
        prompts: [unique("emoji")],
        metadata: { ["😀".repeat(key)]: "😀".repeat(value) },
      });
    expect((await send(64, 512)).status).toBe(202);
    expect((await errorOf(await send(65, 512))).message).toContain("64 characters");
    expect((await errorOf(await send(64, 513))).message).toContain("512 characters");
  });

  it("counts the faults behind the first", async () => {
    const stream = { body: { ...body, stream: true } };
    const error = await refusal({ endpoint: CHAT, requests: [stream, request, stream, stream] });
    expect(error.param).toBe("requests[0].body.stream");
    expect(error.message).toContain("2 more");
  });
});

describe("custom_ids that are not distinct", () => {
  it("are refused, naming the second", async () => {
    const error = await refusal({
      endpoint: CHAT,
      requests: [request, { custom_id: "b", body }, request],
    });
    expect(error).toMatchObject({ code: "duplicate_custom_id", param: "requests[2].custom_id" });
    expect(error.message).toContain("'a'");
  });

  it("are refused when one is another's default name", async () => {
    const error = await refusal({
      endpoint: CHAT,
      requests: [{ custom_id: "task-1", body }, { body }],
    });
    expect(error).toMatchObject({ code: "duplicate_custom_id", param: "requests[1].custom_id" });
  });

  it("are refused when they are not Unicode, and would be the same once stored", async () => {
    const requests = '[{"custom_id":"\\ud800","body":{}},{"custom_id":"\\ud801","body":{}}]';
    const error = await refusal(`{"endpoint":"${CHAT}","requests":${requests}}`);
    expect(error.param).toBe("requests[0].custom_id");
  });
});

describe("a body that is too long", () => {
  it("is refused with 413 past 16 MiB, pointing to file uploads", async () => {
    const error = await refusal({ model: "m", prompts: ["x".repeat(16 * 1024 * 1024)] }, 413);
    expect(error.code).toBe("too_large");
    expect(error.message).toContain("/v1/files");
  });

  it("is refused with 413 as a stream of unknown length", async () => {
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 1;
        if (sent > 40) controller.close();
        else controller.enqueue(new Uint8Array(1024 * 1024).fill(0x20));
      },
    });
    const response = await call("/v1/batches", { method: "POST", body: endless });
    expect(response.status).toBe(413);
    expect((await errorOf(response)).code).toBe("too_large");
  });

  it("is refused with 413 when short prompts share settings that make them long", async () => {
    const prompts = Array.from({ length: 4_000 }, (_, i) => `question ${i}`);
    const error = await refusal({ model: "m", prompts, instructions: "x".repeat(20_000) }, 413);
    expect(error.code).toBe("too_large");
  });

  it("is refused when one task is longer than a task may be, naming it", async () => {
    const long = "x".repeat(1_900_001);
    expect((await refusal({ model: "m", prompts: ["a", long] })).param).toBe("prompts[1]");
    const inRequests = { endpoint: CHAT, requests: [request, { body: { input: long } }] };
    expect((await refusal(inRequests)).param).toBe("requests[1].body");
  });
});

describe("an input file that is not there", () => {
  it.each(["file-1", "file-0190b0c0000070008000000000000000", "", "../files", "__proto__"])(
    "is a 404 that names input_file_id: %j",
    async (input_file_id) => {
      const error = await refusal({ input_file_id, endpoint: CHAT }, 404);
      expect(error).toMatchObject({ code: "not_found", param: "input_file_id" });
      expect(error.message).toContain(`'${input_file_id}'`);
    },
  );
});

describe("a refused request", () => {
  it("leaves no batch in the list", async () => {
    const kept = await open({ model: "m", prompts: [unique("kept")] });
    const before = await listed();
    expect(before).toContain(kept.id);
    await refusal("{");
    await refusal({ model: "m", prompts: [] });
    await refusal({ model: "m", prompts: ["a"], stream: true });
    await refusal({ endpoint: CHAT, requests: [request, request] });
    await refusal({ model: "m", prompts: ["a"], webhook: { url: "ftp://example.com/" } });
    await refusal({ input_file_id: "file-1", endpoint: CHAT }, 404);
    expect(await listed()).toEqual(before);
  });
});
