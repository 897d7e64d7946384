import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, inject, it } from "vitest";
import { Idempotency, KEPT_MS } from "../../src/project/idempotency.ts";
import { projectStub } from "../../src/stubs.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import type { FileObject } from "../../src/wire/file.ts";
import { TURN_MS } from "../../src/wire/idempotency.ts";
import { newBatchId } from "../../src/wire/ids.ts";
import { UNBOUNDED } from "../../src/wire/quota.ts";
import type {} from "../support/provided.ts";
import {
  bodyOf,
  call,
  chatLine,
  DEFAULT_KEY,
  ended,
  errorOf,
  FORM_TYPE,
  formBytes,
  look,
  OTHER_KEY,
  unique,
  upload,
} from "../support/worker/client.ts";

const HOOK = `${inject("receiverUrl")}/ok/idempotency`;

/** The fingerprint of a request whose sender was lost. */
const LOST = "never heard again";

const newKey = () => crypto.randomUUID();

function send(
  path: string,
  body: BodyInit | null,
  headers: Record<string, string>,
  apiKey = DEFAULT_KEY,
): Promise<Response> {
  return call(path, { method: "POST", body, headers }, apiKey);
}

function create(
  body: unknown,
  key: string,
  more: Record<string, string> = {},
  apiKey = DEFAULT_KEY,
): Promise<Response> {
  const headers = { "idempotency-key": key, ...more };
  return send("/v1/batches", JSON.stringify(body), headers, apiKey);
}

const inline = (prompt: string) => ({ model: "m", prompts: [unique(prompt)] });

async function batchOf(response: Response): Promise<BatchObject> {
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text}`);
  return JSON.parse(text) as BatchObject;
}

/** How many of the project's batches have a metadata pair. */
async function countTagged(tag: string): Promise<number> {
  const response = await call("/v1/batches?limit=100");
  const { data }: { data: BatchObject[] } = await response.json();
  return data.filter(({ metadata }) => metadata?.tag === tag).length;
}

const project = () => projectStub(env, "default");

describe("a POST with an Idempotency-Key, sent again", () => {
  it("gets the first answer byte for byte, whatever became of the batch", async () => {
    const body = inline("a");
    const first = await create(body, "again");
    const text = await first.clone().text();
    const { id } = await batchOf(first);
    await ended(id);
    const second = await create(body, '"again"');
    expect(await second.text()).toBe(text);
    expect(second.status).toBe(202);
    for (const name of ["location", "content-type"]) {
      expect(second.headers.get(name)).toBe(first.headers.get(name));
    }
    expect(first.headers.has("idempotency-replayed")).toBe(false);
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(second.headers.get("x-request-id")).not.toBe(first.headers.get("x-request-id"));
  });

  it("gets the secret that was made for its webhook again", async () => {
    const body = { ...inline("a"), webhook: { url: HOOK } };
    const key = newKey();
    const first = await batchOf(await create(body, key));
    const second = await batchOf(await create(body, key));
    expect(first.muster.webhook?.secret).toMatch(/^whsec_/);
    expect(second).toEqual(first);
  });

  it("answers 200 again where the first did: a batch from a file", async () => {
    const file = await upload(chatLine("a", unique("a")));
    const body = { input_file_id: file.id, endpoint: "/v1/chat/completions" };
    const key = newKey();
    const first = await create(body, key);
    const second = await create(body, key);
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(await second.text()).toBe(await first.text());
  });

  it("with another body is refused with 422, and opens nothing", async () => {
    const key = newKey();
    await create({ ...inline("a"), metadata: { tag: key } }, key);
    const other = await create({ ...inline("b"), metadata: { tag: key } }, key);
    expect(other.status).toBe(422);
    expect(await errorOf(other)).toMatchObject({
      code: "idempotency_key_reused",
      param: "Idempotency-Key",
    });
    expect(await countTagged(key)).toBe(1);
  });

  it("to another route is refused with 422", async () => {
    const key = newKey();
    const { id } = await batchOf(await create(inline("[hang always]"), key));
    const other = await send(`/v1/batches/${id}/cancel`, null, { "idempotency-key": key });
    expect(other.status).toBe(422);
  });

  it("does not touch the same key of another project", async () => {
    const body = inline("a");
    const key = newKey();
    const mine = await batchOf(await create(body, key));
    const theirs = await batchOf(await create(body, key, {}, OTHER_KEY));
    expect(theirs.id).not.toBe(mine.id);
  });

  it("is new once 24 hours are over", async () => {
    const body = inline("a");
    const key = newKey();
    const first = await batchOf(await create(body, key));
    await runInDurableObject(project(), (_, { storage }) => {
      storage.sql.exec("UPDATE idempotency SET expires_at = ? WHERE key = ?", Date.now(), key);
    });
    const second = await batchOf(await create(body, key));
    expect(second.id).not.toBe(first.id);
  });

  it("leaves nothing behind when its time is over: the alarm takes it out", async () => {
    const key = newKey();
    await create(inline("a"), key);
    const rows = () =>
      runInDurableObject(project(), (_, { storage }) =>
        storage.sql
          .exec("SELECT expires_at - begun_at AS kept FROM idempotency WHERE key = ?", key)
          .toArray(),
      );
    expect(await rows()).toEqual([{ kept: KEPT_MS }]);
    await runInDurableObject(project(), async (_, { storage }) => {
      expect(await storage.getAlarm()).not.toBeNull();
      storage.sql.exec("UPDATE idempotency SET expires_at = ? WHERE key = ?", Date.now() - 1, key);
    });
    await runDurableObjectAlarm(project());
    expect(await rows()).toEqual([]);
  });

  it.each(["", "k".repeat(256), "a\u00fc"])("with the key %j is refused", async (key) => {
    const response = await create(inline("a"), key);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: "invalid_idempotency_key" });
  });
});

describe("an answer that is not kept", () => {
  it("is a refusal: mended, the request goes through with the same key", async () => {
    const key = newKey();
    expect((await create({ model: "m", prompts: [] }, key)).status).toBe(400);
    expect((await create(inline("a"), key)).status).toBe(202);
  });

  it("is a failure: sent again, the request makes what the first one made", async () => {
    const body = inline("a");
    const key = newKey();
    const first = await batchOf(await create(body, key));
    // As it stands after a crash between opening the batch and keeping the answer.
    await runInDurableObject(project(), (_, { storage }) => {
      storage.sql.exec(
        "UPDATE idempotency SET status = NULL, headers = NULL, body = NULL WHERE key = ?",
        key,
      );
    });
    await abortAllDurableObjects();
    const again = await create(body, key);
    expect(again.headers.has("idempotency-replayed")).toBe(false);
    expect((await batchOf(again)).id).toBe(first.id);
    expect((await create(body, key)).headers.get("idempotency-replayed")).toBe("true");
  });
});

describe("requests with one key at the same time", () => {
  it("open one batch, and all get the one answer", async () => {
    const key = newKey();
    const body = { ...inline("a"), metadata: { tag: key } };
    const all = await Promise.all(Array.from({ length: 20 }, () => create(body, key)));
    const texts = await Promise.all(all.map((response) => response.text()));
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([202]));
    expect(new Set(texts).size).toBe(1);
    expect(await countTagged(key)).toBe(1);
    const made = all.filter(({ headers }) => !headers.has("idempotency-replayed"));
    expect(made).toHaveLength(1);
  });

  it("of which one is lost: the next takes its turn once it is over", async () => {
    const key = newKey();
    const body = inline("a");
    const begun = await project().beginWithKey(key, LOST, "seed");
    expect(begun).toMatchObject({ kind: "run", seed: "seed" });
    // Under another fingerprint it is another request, turn or not.
    expect((await create(body, key)).status).toBe(422);
    const held = await runInDurableObject(project(), (object) =>
      atTime(Date.now() + TURN_MS, () => object.beginWithKey(key, LOST, "another")),
    );
    expect(held).toMatchObject({ kind: "run", seed: "seed" });
  });
});

describe("a request whose key another one has", () => {
  const path = "/v1/batches/batch_x/cancel";
  /** The fingerprint of a POST without a body to that path. */
  const fingerprint = async () => {
    const hex = async (text: string) => {
      const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
      return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    };
    return hex(`POST ${path}\n${await hex("")}`);
  };

  it("gets that one's answer as soon as there is one", async () => {
    const key = newKey();
    const begun = await project().beginWithKey(key, await fingerprint(), "seed");
    if (begun.kind !== "run") throw new Error(begun.kind);
    const response = send(path, null, { "idempotency-key": key });
    const answer = { status: 201, headers: { location: "/there" }, body: "done" };
    await project().keepAnswer(key, begun.turn, begun.seed, answer);
    expect(await (await response).text()).toBe("done");
    expect((await response).status).toBe(201);
    expect((await response).headers.get("location")).toBe("/there");
  });

  // The one test here that takes its time: that of the wait itself, twenty seconds.
  it("is told to come again when there is none for long: the one 409 there is", async () => {
    const key = newKey();
    const begun = await project().beginWithKey(key, await fingerprint(), "seed");
    expect(begun.kind).toBe("run");
    const response = await send(path, null, { "idempotency-key": key });
    expect(response.status).toBe(409);
    expect(response.headers.get("retry-after")).toBe("2");
    expect(await errorOf(response)).toMatchObject({ code: "idempotency_key_in_use" });
  });
});

describe("a request with a key that takes long", () => {
  it("keeps its turn as long as it says that it is under way", async () => {
    const key = newKey();
    const kinds = await runInDurableObject(project(), (_, { storage }) => {
      const keys = new Idempotency(storage.sql);
      const nowMs = Date.now();
      const begun = keys.begin(key, LOST, "seed", nowMs);
      if (begun.kind !== "run") throw new Error(begun.kind);
      keys.prolong(key, begun.turn, nowMs + 0.9 * TURN_MS);
      return [1.5, 2].map((turns) => keys.begin(key, LOST, "other", nowMs + turns * TURN_MS).kind);
    });
    expect(kinds).toEqual(["under_way", "run"]);
  });
});

describe("an upload with an Idempotency-Key", () => {
  const form = (content: string, filename = "a.jsonl") =>
    formBytes([
      { name: "purpose", content: "batch" },
      { name: "file", filename, content },
    ]);
  const send = (bytes: Uint8Array, key: string, boundary?: string) => {
    let body = bytes;
    let type = FORM_TYPE;
    if (boundary !== undefined) {
      const text = new TextDecoder().decode(bytes).replaceAll("muster-form-boundary", boundary);
      body = new TextEncoder().encode(text);
      type = `multipart/form-data; boundary=${boundary}`;
    }
    const headers = { "idempotency-key": key, "content-type": type };
    return call("/v1/files", { method: "POST", body, headers });
  };
  const stored = async () => (await env.FILES.list({ prefix: "files/default/" })).objects.length;

  it("makes one file, though each try has a boundary of its own", async () => {
    const key = newKey();
    const content = chatLine("a", unique("a"));
    const before = await stored();
    const first = await send(form(content), key);
    const second = await send(form(content), key, "another-boundary");
    expect(await second.text()).toBe(await first.text());
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(await stored()).toBe(before + 1);
  });

  it("is one however its type is spelled", async () => {
    const key = newKey();
    const headers = {
      "idempotency-key": key,
      "content-type": FORM_TYPE.replace("form-data", "Form-Data"),
    };
    const first = await send(form("{}"), key);
    const second = await call("/v1/files", { method: "POST", body: form("{}"), headers });
    expect(second.status).toBe(200);
    expect(await second.text()).toBe(await first.text());
  });

  it.each([
    ["bytes", form("other")],
    ["name", form("{}", "b.jsonl")],
  ])("of a file with other %s is refused with 422, and stores nothing", async (_, other) => {
    const key = newKey();
    await send(form("{}"), key);
    const before = await stored();
    expect((await send(other, key)).status).toBe(422);
    expect(await stored()).toBe(before);
  });

  it("that was lost before its answer was kept makes the same file again", async () => {
    const key = newKey();
    const first: FileObject = await (await send(form("{}"), key)).json();
    const before = await stored();
    await runInDurableObject(project(), (_, { storage }) => {
      storage.sql.exec("UPDATE idempotency SET status = NULL WHERE key = ?", key);
    });
    const again: FileObject = await (await send(form("{}"), key)).json();
    expect(again).toEqual(first);
    expect(await stored()).toBe(before);
    expect((await bodyOf(await call(`/v1/files/${first.id}/content`))).text).toBe("{}");
  });
});

it("keeps the answer of a request that calls its JSON a form", async () => {
  const key = newKey();
  const body = JSON.stringify({ name: key, url: HOOK, event_types: ["batch.completed"] });
  const headers = { "idempotency-key": key, "content-type": FORM_TYPE };
  const made = await Promise.all([1, 2].map(() => send("/v1/webhook_endpoints", body, headers)));
  const [first, second] = await Promise.all(made.map((response) => response.text()));
  expect(made.map(({ status }) => status)).toEqual([200, 200]);
  expect(second).toBe(first);
});

/** The batch that a retry of a batch's request gets, that long after it. */
function askedAgainAfter(batchId: string, ms: number): Promise<string> {
  return runInDurableObject(project(), (object, { storage }) => {
    const { fingerprint } = storage.sql
      .exec<{ fingerprint: string }>("SELECT fingerprint FROM batch WHERE batch_id = ?", batchId)
      .one();
    const asked = atTime(Date.now() + ms, () =>
      object.addBatch(
        { project: "default", batch_id: newBatchId() },
        "/v1/embeddings",
        fingerprint,
        true,
        { tasks: 1, bytes: 0 },
        UNBOUNDED,
      ),
    );
    return asked.ok ? asked.value : expect.fail(asked.problem.message);
  });
}

/** Does something in an object at another time. */
function atTime<T>(nowMs: number, work: () => T): T {
  const realNow = Date.now;
  Date.now = () => nowMs;
  try {
    return work();
  } finally {
    Date.now = realNow;
  }
}

describe("a POST without a key that says it is a retry", () => {
  const retry = (body: unknown, count = "1") =>
    send("/v1/batches", JSON.stringify(body), { "x-stainless-retry-count": count });

  it("gets the batch that its first try opened, as it stands", async () => {
    const body = { ...inline("a"), webhook: { url: HOOK } };
    const first = await batchOf(await retry(body, "0"));
    await ended(first.id);
    const again = await retry(body);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    const batch = await batchOf(again);
    expect(batch).toMatchObject({ id: first.id, status: "completed" });
    expect(batch.muster.webhook).toEqual(first.muster.webhook);
  });

  it("gets the batch of a file, too", async () => {
    const file = await upload(chatLine("a", unique("a")));
    const body = { input_file_id: file.id, endpoint: "/v1/chat/completions" };
    const first = await batchOf(await retry(body, "0"));
    expect((await batchOf(await retry(body, "2"))).id).toBe(first.id);
  });

  it("opens one, and only one, if its first try opened none", async () => {
    const tag = newKey();
    const body = { ...inline("a"), metadata: { tag } };
    const all = await Promise.all([retry(body), retry(body), retry(body)]);
    const ids = await Promise.all(all.map(async (response) => (await batchOf(response)).id));
    expect(new Set(ids).size).toBe(1);
    expect(await countTagged(tag)).toBe(1);
  });

  it("does not get a batch of another body, of another project, of half an hour ago", async () => {
    const body = inline("a");
    const first = await batchOf(await retry(body, "0"));
    expect((await batchOf(await retry({ ...body, max_tokens: 5 }))).id).not.toBe(first.id);
    const headers = { "x-stainless-retry-count": "1" };
    const theirs = await send("/v1/batches", JSON.stringify(body), headers, OTHER_KEY);
    expect((await batchOf(theirs)).id).not.toBe(first.id);
    expect(await askedAgainAfter(first.id, 29 * 60_000)).toBe(first.id);
    expect(await askedAgainAfter(first.id, 31 * 60_000)).not.toBe(first.id);
  });

  it("does not get a batch that was opened with a key", async () => {
    const body = inline("a");
    const keyed = await batchOf(await create(body, newKey()));
    expect((await batchOf(await retry(body))).id).not.toBe(keyed.id);
  });

  it("sent as new, the same body is a new batch", async () => {
    const body = inline("a");
    const first = await batchOf(await retry(body, "0"));
    const second = await batchOf(await retry(body, "0"));
    expect(second.id).not.toBe(first.id);
    expect((await batchOf(await retry(body))).id).toBe(second.id);
  });
});

describe("every other POST", () => {
  it("is done once with one key: a retry of what failed", async () => {
    const { id } = await batchOf(await create(inline("[400]"), newKey()));
    await ended(id);
    const key = newKey();
    const again = () => send(`/v1/batches/${id}/retry`, null, { "idempotency-key": key });
    const first = await again();
    await ended(id);
    const second = await again();
    expect(await second.text()).toBe(await first.text());
    expect((await look(id)).muster.run).toBe(2);
  });

  it("is still refused when it is refused", async () => {
    const { id } = await batchOf(await create(inline("a"), newKey()));
    await ended(id);
    const key = newKey();
    for (const _ of [1, 2]) {
      const response = await send(`/v1/batches/${id}/cancel`, null, { "idempotency-key": key });
      expect(response.status).toBe(400);
      expect(await errorOf(response)).toMatchObject({ code: "batch_not_cancellable" });
    }
  });

  it("has a body of at most 16 MiB if it carries a key", async () => {
    const response = await send("/v1/batches/x/cancel", "x".repeat(16 * 1024 * 1024 + 1), {
      "idempotency-key": newKey(),
    });
    expect(response.status).toBe(413);
  });
});
