import { describe, expect, it } from "vitest";
import { bodyOf, call, ended, look, open, post, unique, until } from "../support/worker/client.ts";

const get = (path: string, headers: Record<string, string> = {}) => call(path, { headers });

async function etagOf(path: string, headers: Record<string, string> = {}): Promise<string> {
  const response = await get(path, headers);
  await response.arrayBuffer();
  return response.headers.get("etag") ?? "";
}

const prompts = (count: number, text = "a") => Array.from({ length: count }, () => unique(text));

/** A batch whose calls go nowhere until it is cancelled. */
async function stuck(): Promise<string> {
  const { id } = await open({ model: "m", prompts: [unique("[hang always]")] });
  await until(
    () => look(id),
    ({ muster }) => muster.counts.running === 1,
  );
  return id;
}

describe("a GET with the ETag of what the client has", () => {
  it.each([
    ["the batch", "", {}],
    ["its results", "/results", {}],
    ["its results as JSONL", "/results", { accept: "application/jsonl" }],
    ["a page of its results", "/results?limit=2", {}],
    ["a page of them as JSONL", "/results?limit=2", { accept: "application/jsonl" }],
  ])("is answered 304 and nothing, if it is as it was: %s", async (_, rest, headers) => {
    const { id } = await open({ model: "m", prompts: prompts(3) });
    await ended(id);
    const path = `/v1/batches/${id}${rest}`;
    const etag = await etagOf(path, headers);
    expect(etag).toMatch(/^"[\w-]{22}"$/);
    const again = await get(path, { ...headers, "if-none-match": etag });
    expect(again.status).toBe(304);
    expect(again.headers.get("etag")).toBe(etag);
    expect((await bodyOf(again)).text).toBe("");
    const other = await get(path, { ...headers, "if-none-match": '"x"' });
    expect(other.status).toBe(200);
    expect(other.headers.get("etag")).toBe(etag);
  });

  it("is answered with what is new, if it is other: a change that nothing but metadata shows", async () => {
    const { id } = await open({ model: "m", prompts: prompts(1) });
    await ended(id);
    const path = `/v1/batches/${id}`;
    const etag = await etagOf(path);
    await call(path, { method: "PATCH", body: JSON.stringify({ metadata: { a: "b" } }) });
    const again = await get(path, { "if-none-match": etag });
    expect(again.status).toBe(200);
    expect(again.headers.get("etag")).not.toBe(etag);
  });

  it("has one tag for each text of a batch, while it runs", async () => {
    const { id } = await open({ model: "m", prompts: prompts(60), max_concurrency: 5 });
    const texts = new Map<string, string>();
    const tags = new Map<string, string>();
    await until(
      async () => {
        const response = await get(`/v1/batches/${id}`);
        const etag = response.headers.get("etag") ?? "";
        const text = await response.text();
        expect(texts.get(etag) ?? text).toBe(text);
        expect(tags.get(text) ?? etag).toBe(etag);
        texts.set(etag, text);
        tags.set(text, etag);
        return JSON.parse(text) as { status: string };
      },
      ({ status }) => status === "completed",
    );
    expect(texts.size).toBeGreaterThan(3);
  });

  it("knows a list by its bytes, too", async () => {
    const { id } = await open({ model: "m", prompts: prompts(1) });
    await ended(id);
    const path = "/v1/batches?limit=1";
    const etag = await etagOf(path);
    expect((await get(path, { "if-none-match": etag })).status).toBe(304);
    await open({ model: "m", prompts: prompts(1) });
    expect((await get(path, { "if-none-match": etag })).status).toBe(200);
  });

  it("has another tag for JSON and for JSONL, and for results to which a task was added", async () => {
    const { id } = await open({ model: "m", prompts: [unique("a"), unique("[503 run]")] });
    await ended(id);
    const path = `/v1/batches/${id}/results`;
    const json = await etagOf(path);
    expect(await etagOf(path, { accept: "application/jsonl" })).not.toBe(json);
    await post(`/v1/batches/${id}/retry`, "");
    await until(
      () => look(id),
      ({ status, muster }) => status === "completed" && muster.run === 2,
    );
    expect(await etagOf(path)).not.toBe(json);
  });

  it("has a weak tag for results that may still grow", async () => {
    const id = await stuck();
    const path = `/v1/batches/${id}/results`;
    const etag = await etagOf(path);
    expect(etag).toMatch(/^W\/"/);
    expect((await get(path, { "if-none-match": etag })).status).toBe(304);
    await post(`/v1/batches/${id}/cancel`, "");
  });
});

describe("Prefer: wait", () => {
  it("answers when the batch has ended, and says what it granted", async () => {
    const { id } = await open({ model: "m", prompts: prompts(5) });
    const response = await get(`/v1/batches/${id}`, { prefer: "wait=25" });
    expect(response.headers.get("preference-applied")).toBe("wait=25");
    expect(await response.json()).toMatchObject({ status: "completed" });
  });

  it("answers at once for a batch that ended before", async () => {
    const { id } = await open({ model: "m", prompts: prompts(1) });
    await ended(id);
    const startMs = Date.now();
    const response = await get(`/v1/batches/${id}`, { prefer: "respond-async, wait=30" });
    expect(await response.json()).toMatchObject({ status: "completed" });
    expect(Date.now() - startMs).toBeLessThan(20_000);
  });

  it("answers with the batch as it stands when the time is over", async () => {
    const id = await stuck();
    const startMs = Date.now();
    const response = await get(`/v1/batches/${id}`, { prefer: "wait=1" });
    expect(await response.json()).toMatchObject({ status: "in_progress" });
    expect(Date.now() - startMs).toBeGreaterThanOrEqual(1_000);
    await post(`/v1/batches/${id}/cancel`, "");
  });

  it("with an ETag answers as soon as the batch is other than the client knows it", async () => {
    const id = await stuck();
    const path = `/v1/batches/${id}`;
    const etag = await etagOf(path);
    const response = get(path, { prefer: "wait=30", "if-none-match": etag });
    await post(`${path}/pause`, "");
    const changed = await response;
    expect(changed.status).toBe(200);
    expect(await changed.json()).toMatchObject({ status: "in_progress", muster: { paused: true } });
    await post(`${path}/cancel`, "");
  });

  it("with an ETag is answered 304 when nothing changed in that time", async () => {
    const id = await stuck();
    const path = `/v1/batches/${id}`;
    await post(`${path}/pause`, "");
    // The stuck call times out after a second and changes the batch once more.
    await until(
      () => look(id),
      ({ muster }) => muster.counts.running === 0,
    );
    const etag = await etagOf(path);
    const response = await get(path, { prefer: "wait=1", "if-none-match": etag });
    expect(response.status).toBe(304);
    expect(response.headers.get("preference-applied")).toBe("wait=1");
    await post(`${path}/cancel`, "");
  });

  it("that makes no sense is not applied", async () => {
    const id = await stuck();
    const response = await get(`/v1/batches/${id}`, { prefer: "wait=soon" });
    expect(response.status).toBe(200);
    expect(response.headers.has("preference-applied")).toBe(false);
    await post(`/v1/batches/${id}/cancel`, "");
  });

  it("of a batch that is nobody's is 404 at once", async () => {
    const response = await get(`/v1/batches/batch_${"0".repeat(32)}`, { prefer: "wait=30" });
    expect(response.status).toBe(404);
  });

  it("by hundreds at once is answered to all of them", async () => {
    const { id } = await open({ model: "m", prompts: prompts(20) });
    const all = await Promise.all(
      Array.from({ length: 300 }, () => get(`/v1/batches/${id}`, { prefer: "wait=30" })),
    );
    const statuses = await Promise.all(
      all.map(async (response) => ((await response.json()) as { status: string }).status),
    );
    expect(new Set(statuses)).toEqual(new Set(["completed"]));
  });
});
