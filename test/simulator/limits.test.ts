import { describe, expect, test } from "vitest";
import { goDuration, Limits } from "../../src/simulator/limits.ts";
import { TokenBucket } from "../../src/simulator/token-bucket.ts";
import { type ChatAnswer, chat, simulate, untilStats } from "./support.ts";

describe("over HTTP", () => {
  // One request a minute: a busy machine would have to lose a whole minute to see a refill.
  test("requests past the burst get 429, with headers that say so", async () => {
    const simulator = await simulate({ limits: { rpm: 1, burst: 2 } });
    const first = await chat(simulator, "a");
    expect(first.status).toBe(200);
    expect(first.headers.get("x-ratelimit-limit-requests")).toBe("1");
    expect(first.headers.get("x-ratelimit-remaining-requests")).toBe("1");
    expect(first.headers.get("x-ratelimit-reset-requests")).toMatch(/^(1m0s|5\d(\.\d+)?s)$/);
    expect((await chat(simulator, "b")).status).toBe(200);
    const refused = await chat(simulator, "c");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    const retryAfterMs = Number(refused.headers.get("retry-after-ms"));
    expect(retryAfterMs).toBeGreaterThan(0);
    expect(retryAfterMs).toBeLessThanOrEqual(60_000);
    expect(refused.headers.get("retry-after")).toBe(String(Math.ceil(retryAfterMs / 1000)));
    expect(await refused.json()).toMatchObject({
      error: { type: "rate_limit_exceeded", code: "rate_limit_exceeded" },
    });
    await untilStats(simulator, { byStatus: { 200: 2, 429: 1 } });
  });

  test("tokens past the limit get 429; a call costs the total_tokens of its answer", async () => {
    const simulator = await simulate();
    const answer = (await (await chat(simulator, "a")).json()) as ChatAnswer;
    const tpm = answer.usage.total_tokens + 1;
    simulator.configure({ latency: { kind: "fixed", ms: 0 }, limits: { tpm } });
    const passed = await chat(simulator, "a");
    expect(passed.status).toBe(200);
    expect(passed.headers.get("x-ratelimit-limit-tokens")).toBe(String(tpm));
    expect(Number(passed.headers.get("x-ratelimit-remaining-tokens"))).toBeLessThan(tpm);
    expect(passed.headers.has("x-ratelimit-limit-requests")).toBe(false);
    expect((await chat(simulator, "a")).status).toBe(429);
  });

  test("calls over the concurrency get 429 until one ends", async () => {
    const simulator = await simulate({
      limits: { concurrency: 1 },
      faults: [{ kind: "hang", match: "held" }],
    });
    const client = new AbortController();
    const held = chat(simulator, "held", { signal: client.signal });
    await untilStats(simulator, { inFlight: 1 });
    const refused = await chat(simulator, "a");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after-ms"))).toBeGreaterThan(0);
    client.abort();
    await expect(held).rejects.toThrow();
    await untilStats(simulator, { inFlight: 0 });
    expect((await chat(simulator, "a")).status).toBe(200);
  });

  test("as many callers as the concurrency allows are never refused", async () => {
    const simulator = await simulate({ limits: { concurrency: 8 } });
    const caller = async (name: number) => {
      for (let n = 0; n < 50; n++) await (await chat(simulator, `${name} ${n}`)).text();
    };
    await Promise.all(Array.from({ length: 8 }, (_, name) => caller(name)));
    await untilStats(simulator, { byStatus: { 200: 400 } });
    expect(simulator.stats().mostInFlight).toBeLessThanOrEqual(8);
  });

  test("errors carry the limits too, and reset refills the buckets", async () => {
    const simulator = await simulate({ limits: { rpm: 1, burst: 1 } });
    expect((await chat(simulator, "a")).status).toBe(200);
    const unknown = await fetch(`${simulator.url}/nowhere`);
    expect(unknown.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    simulator.reset();
    expect((await chat(simulator, "a")).status).toBe(200);
  });
});

describe("the arithmetic", () => {
  test("a bucket refills continuously and never above its capacity", () => {
    const bucket = new TokenBucket(600, 5, 0);
    bucket.take(5, 0);
    expect(bucket.level(50)).toBeCloseTo(0.5);
    expect(bucket.waitMs(1, 50)).toBeCloseTo(50);
    expect(bucket.waitMs(1, 100)).toBe(0);
    expect(bucket.resetMs(100)).toBeCloseTo(400);
    expect(bucket.level(10_000)).toBe(5);
  });

  test("a cost above the capacity passes when the bucket is full", () => {
    const bucket = new TokenBucket(60, 10, 0);
    expect(bucket.waitMs(25, 0)).toBe(0);
    bucket.take(25, 0);
    expect(bucket.waitMs(25, 0)).toBeCloseTo(10_000);
  });

  test("a refused call takes from no bucket", () => {
    const limits = new Limits({ rpm: 60, burst: 2, tpm: 60, tokenBurst: 10 }, 0);
    expect(limits.admit(9, 1, 0)).toBeUndefined();
    for (let n = 0; n < 5; n++) {
      expect(limits.admit(5, 1, 0)).toMatchObject({ limit: "tokens" });
    }
    expect(limits.admit(1, 1, 0)).toBeUndefined();
    expect(limits.admit(0, 1, 0)).toMatchObject({ limit: "requests", retryAfterMs: 1000 });
    expect(limits.admit(0, 1, 1000)).toBeUndefined();
  });

  test.each([
    [0, "0s"],
    [11.2, "12ms"],
    [1000, "1s"],
    [1500, "1.5s"],
    [360_000, "6m0s"],
    [3_661_500, "1h1m1.5s"],
  ])("%d ms is %s in Go", (ms, text) => {
    expect(goDuration(ms)).toBe(text);
  });
});
