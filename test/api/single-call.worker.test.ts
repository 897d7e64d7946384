import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { singleCallRef } from "../../src/limiter/acquire.ts";
import { limiterStub } from "../../src/stubs.ts";
import type { BatchRef } from "../../src/wire/messages.ts";
import { askFor } from "../support/ask.ts";
import { call, digestOf, errorOf, post, unique, until } from "../support/worker/client.ts";
import { receivedAt, upstreamOf } from "../support/worker/faults.ts";

const CHAT = "/v1/chat/completions";
const bodyOf = (prompt: string, more: object = {}) => ({
  model: "m",
  messages: [{ role: "user", content: prompt }],
  ...more,
});
const ask = (prompt: string, more: object = {}) => post(CHAT, bodyOf(prompt, more));

/** Calls in flight that the Limiter knows of, outside of batches. */
function heldByCalls(): Promise<number> {
  return runInDurableObject(
    limiterStub(env, "default"),
    (_, { storage: { sql } }) =>
      sql.exec<{ n: number }>("SELECT count(*) AS n FROM hold WHERE batch LIKE '%/call_%'").one().n,
  );
}
const allReleased = () => until(heldByCalls, (held) => held === 0);

describe("a single call", () => {
  it("gets the upstream's answer as it is, under an id of Muster's own", async () => {
    const prompt = unique("[pretty] why");
    const response = await ask(prompt);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
    const text = await response.text();
    expect(text).toContain("\n  ");
    expect(text).toContain(await digestOf(prompt));
    expect(await upstreamOf(prompt)).toMatchObject({ calls: 1, answers: 1 });
    await allReleased();
  });

  it("passes a stream on as a stream", async () => {
    const prompt = unique("stream");
    const response = await ask(prompt, { stream: true });
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const text = await response.text();
    expect(text.split("\n\n").length).toBeGreaterThan(3);
    expect(text).toContain("data: [DONE]");
    await allReleased();
  });

  it.each([400, 401, 403, 404, 422, 500, 503, 529])(
    "passes a %i on, and does not repeat it",
    async (status) => {
      const prompt = unique(`[${status}]`);
      const response = await ask(prompt);
      expect(response.status).toBe(status);
      expect((await errorOf(response)).message).toMatch(/\S/);
      expect((await upstreamOf(prompt)).calls).toBe(1);
      await allReleased();
    },
  );

  it("passes a body that the upstream refuses, too: it is for the upstream to judge", async () => {
    const refused = await post(CHAT, "{");
    expect(refused.status).toBe(400);
    expect((await errorOf(refused)).message).toContain("parse the JSON");
    const unknown = await post(CHAT, { messages: [], unknown: 1 });
    expect(unknown.status).toBe(400);
  });

  it("that is answered 429 gets its retry-after, and the upstream rests", async () => {
    const response = await ask(unique("[429]"));
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after-ms") ?? response.headers.get("retry-after")).toMatch(
      /^[0-9.]+$/,
    );
    await response.text();
    await allReleased();
    await runInDurableObject(limiterStub(env, "default"), (_, { storage: { sql } }) => {
      const { throttles } = sql.exec<{ throttles: number }>("SELECT throttles FROM quota").one();
      expect(throttles).toBeGreaterThan(0);
    });
    // And what comes next waits for that, and is answered.
    expect((await ask(unique("after"))).status).toBe(200);
  });
});

describe("a single call whose upstream fails", () => {
  it("to begin its answer is a 504, after the call's time", async () => {
    const response = await ask(unique("[hang always]"));
    expect(response.status).toBe(504);
    expect(await errorOf(response)).toMatchObject({
      type: "server_error",
      code: "upstream_timeout",
    });
    await allReleased();
  });

  it("to go on with its answer breaks off, after the same time", async () => {
    const response = await ask(unique("[hang body first]"));
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
    await allReleased();
  });

  it("by hanging up is a 502", async () => {
    const response = await ask(unique("[reset]"));
    expect(response.status).toBe(502);
    expect(await errorOf(response)).toMatchObject({
      code: "upstream_unreachable",
      message: expect.stringMatching(/^The upstream could not be reached: (?!Error).*[^.]\.$/),
    });
    await allReleased();
  });

  it("by a redirect is a 502: the key goes nowhere else", async () => {
    const response = await ask(unique("[redirect away]"));
    expect(response.status).toBe(502);
    expect((await errorOf(response)).message).toContain("redirect");
    expect(await receivedAt("/ok/another-host")).toEqual([]);
    await allReleased();
  });

  it("or whose client goes away, gives its permit back", async () => {
    const response = await ask(unique("[hang body first]"));
    await response.body?.cancel();
    await allReleased();
  });
});

describe("a single call is refused", () => {
  it("without a key", async () => {
    expect((await call(CHAT, { method: "POST", body: "{}" }, "sk-nobody")).status).toBe(401);
  });

  it("when it is longer than 16 MiB", async () => {
    const response = await post(CHAT, bodyOf("x".repeat(16 * 1024 * 1024)));
    expect(response.status).toBe(413);
    expect((await errorOf(response)).code).toBe("too_large");
  });

  it("when it only looks: GET takes nothing", async () => {
    const response = await call(CHAT);
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
  });
});

describe("a single call beside as many as may wait", () => {
  const refs = Array.from({ length: 500 }, (_, index) => singleCallRef("default", `${index}`));
  const say = (ref: BatchRef, want: number, held = 0) =>
    limiterStub(env, "default").acquire({ ...askFor("", want, { held }), ref });
  const busy = { project: "other", batch_id: "busy" };

  it("is a 429 at once, in the shape of its door, that says when to come again", async () => {
    await say(busy, 50);
    try {
      await Promise.all(refs.map((ref) => say(ref, 1)));
      const response = await ask(unique("crowded"));
      expect(response.status).toBe(429);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(5);
      expect(await errorOf(response)).toMatchObject({
        code: "rate_limited",
        message: expect.stringContaining("Too many single calls wait"),
      });
      const message = bodyOf(unique("crowded"), { max_tokens: 5 });
      const atMessages = await post("/v1/messages", message);
      expect(atMessages.status).toBe(429);
      expect(await atMessages.json()).toMatchObject({
        type: "error",
        error: { type: "rate_limit_error" },
      });
    } finally {
      await say(busy, 0);
      await Promise.all(refs.map((ref) => say(ref, 0)));
    }
    expect((await ask(unique("room"))).status).toBe(200);
  });
});

describe("a single call with an Idempotency-Key", () => {
  it("is made once, and answered twice", async () => {
    const prompt = unique("once");
    const headers = { "idempotency-key": unique("key") };
    const send = () =>
      call(CHAT, { method: "POST", body: JSON.stringify(bodyOf(prompt)), headers });
    const first = await (await send()).text();
    const second = await send();
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(await second.text()).toBe(first);
    expect((await upstreamOf(prompt)).calls).toBe(1);
  });
});
