import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { AcquireRequest } from "../../src/limiter/acquire.ts";
import { limiterStub } from "../../src/stubs.ts";
import { askFor } from "../support/ask.ts";

/** The worker tests' upstream allows 50 calls in flight and no more; see wrangler.toml. */
const LIMIT = 50;

const fresh = () => limiterStub(env, `test-${crypto.randomUUID()}`);
const ref = (batch_id: string) => ({ project: "default", batch_id });
const ask = (batch: string, held: number, want: number, rest: Partial<AcquireRequest> = {}) =>
  askFor(batch, want, { held, ...rest });

describe("the Limiter", () => {
  it("never permits more calls at once than the upstream's limit, over all batches", async () => {
    const limiter = fresh();
    const a = await limiter.acquire(ask("a", 0, 40));
    const b = await limiter.acquire(ask("b", 0, 40));
    expect(a.startInMs.length).toBe(40);
    expect(b.startInMs.length).toBe(LIMIT - 40);
    expect(b.retryInMs).toBeGreaterThan(0);
  });

  it("keeps its permits through an eviction", async () => {
    const limiter = fresh();
    await limiter.acquire(ask("a", 0, LIMIT));
    await evictDurableObject(limiter);
    expect((await limiter.acquire(ask("b", 0, 1))).startInMs).toEqual([]);
    await limiter.acquire(ask("a", LIMIT - 1, 0));
    expect((await limiter.acquire(ask("b", 0, 1))).startInMs).toHaveLength(1);
  });

  it("keeps room for a batch that waits, up to its share", async () => {
    const limiter = fresh();
    await limiter.acquire(ask("big", 0, LIMIT));
    expect((await limiter.acquire(ask("small", 0, 10))).startInMs).toEqual([]);
    // Ten of the big batch's calls end; it asks for ten more and gets none of them.
    expect((await limiter.acquire(ask("big", LIMIT - 10, 10))).startInMs).toEqual([]);
    expect((await limiter.acquire(ask("small", 0, 10))).startInMs).toHaveLength(10);
  });

  it("shows a batch that nobody serves to the next asker, once", async () => {
    const limiter = fresh();
    await limiter.announce(ref("waiting"), 10, 3, "default");
    expect((await limiter.acquire(ask("busy", 0, 1))).invite).toEqual(ref("waiting"));
    expect((await limiter.acquire(ask("busy", 1, 1))).invite).toBeNull();
  });

  it("lets a batch that is alone go on by itself, and none beside another", async () => {
    const limiter = fresh();
    const lease = async (batch: string, held: number, want: number) =>
      (await limiter.acquire(ask(batch, held, want, { takesLease: true }))).leaseMs;
    expect(await lease("a", 0, 5)).toBeGreaterThan(0);
    expect(await lease("b", 0, 5)).toBe(0);
    expect(await lease("a", 5, 1)).toBe(0);
    await lease("b", 0, 0);
    expect(await lease("a", 6, 1)).toBeGreaterThan(0);
  });

  it("answers a single call that listens when it is its turn, and at once if that was before", async () => {
    const limiter = fresh();
    await limiter.acquire(ask("a", 0, LIMIT));
    await limiter.acquire(ask("call_1", 0, 1));
    const turn = limiter.turn(ref("call_1"), 3_600_000);
    await limiter.acquire(ask("a", LIMIT - 1, 0));
    await turn;
    await limiter.turn(ref("call_1"), 3_600_000);
    expect((await limiter.acquire(ask("call_1", 0, 1))).startInMs).toHaveLength(1);
  });

  it("gives no lease to a single call, which is no object that could be woken", async () => {
    expect((await fresh().acquire(ask("call_1", 0, 1))).leaseMs).toBe(0);
  });

  it("says how long the upstream rests", async () => {
    const limiter = fresh();
    expect((await limiter.acquire(ask("a", 0, 1))).restsMs).toBeUndefined();
    await limiter.acquire({ ...ask("a", 0, 0), throttled: { afterMs: 60_000 }, refused: 1 });
    const { restsMs, startInMs } = await limiter.acquire(ask("b", 0, 1));
    expect(startInMs).toEqual([]);
    expect(restsMs).toBeGreaterThan(50_000);
  });

  it("rests after a 429, as long as the upstream said", async () => {
    const limiter = fresh();
    const told = await limiter.acquire({ ...ask("a", 0, 1), throttled: { afterMs: 60_000 } });
    expect(told.startInMs).toEqual([]);
    expect(told.retryInMs).toBeGreaterThan(50_000);
    expect((await limiter.acquire(ask("b", 0, 1))).startInMs).toEqual([]);
  });

  it("remembers how long a model's answers are, through an eviction and for all batches", async () => {
    const limiter = fresh();
    const answers = { calls: 2, outputTokens: 60 };
    await limiter.acquire({ ...ask("a", 0, 1), model: "m", answers });
    await evictDurableObject(limiter);
    expect((await limiter.acquire({ ...ask("b", 0, 1), model: "m" })).meanOutput).toBe(30);
    expect((await limiter.acquire({ ...ask("b", 0, 1), model: "n" })).meanOutput).toBeNull();
  });

  it("keeps what headers told of limits through an eviction", async () => {
    const limiter = fresh();
    const limits = { requests: { limit: 20, remaining: 19, resetMs: 3_000 } };
    await limiter.acquire({ ...ask("a", 0, 1), told: { limits, tookMs: 5 } });
    await evictDurableObject(limiter);
    expect((await limiter.state("default")).inForce?.rpm).toBeCloseTo(19.8);
    // Of the bucket of 20 that was full but for one, one was taken; another comes every three seconds.
    const { length } = (await limiter.acquire(ask("b", 0, 50))).startInMs;
    expect(length).toBeGreaterThanOrEqual(18);
    expect(length).toBeLessThan(50);
  });

  it("gives an upstream that is down nothing, where there is another way; and none is held back without", async () => {
    const limiter = fresh();
    const news = { ...ask("a", 0, 3), elsewhere: "probe" as const };
    const down = await limiter.acquire({ ...news, broken: 5 });
    expect(down).toMatchObject({ startInMs: [], down: true, blockedBy: "rate", contended: false });
    expect(down.retryInMs).toBeGreaterThan(0);
    expect(down.retryInMs).toBeLessThanOrEqual(1_000);
    await evictDurableObject(limiter);
    expect((await limiter.state("default")).downSinceMs).not.toBeNull();
    expect(await limiter.acquire({ ...news, elsewhere: "avoid" })).toMatchObject({ startInMs: [] });
    expect((await limiter.acquire(ask("alone", 0, 3))).startInMs).toHaveLength(3);
  });

  it("is open again for all after one answer", async () => {
    const limiter = fresh();
    const news = { ...ask("a", 0, 3), elsewhere: "probe" as const };
    await limiter.acquire({ ...news, broken: 5 });
    const back = await limiter.acquire({ ...news, alive: 1 });
    expect(back).toMatchObject({ down: false, retryInMs: null });
    expect(back.startInMs).toHaveLength(3);
    expect((await limiter.state("default")).downSinceMs).toBeNull();
  });
});
