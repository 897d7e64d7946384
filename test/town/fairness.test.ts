import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Api, type ApiSettings } from "./api.ts";
import { Town } from "./town.ts";

beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 10, 22) }));
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Ten calls at once, and as many lanes, of 100 ms each. */
function onTen(settings: Partial<ApiSettings> = {}): { town: Town; api: Api } {
  const api = new Api({ latencyMs: () => 100, limits: { concurrency: 10 }, ...settings });
  const vars = { UPSTREAM_MAX_CONCURRENCY: "10", CONSUMER_LANES: "10" };
  return {
    town: new Town(
      { UPSTREAM_BASE_URL: "http://a/v1", UPSTREAM_ALLOW_PRIVATE: "1", ...vars },
      { a: api },
    ),
    api,
  };
}

test("sixty small batches on ten calls leave few of them idle", async () => {
  const { town, api } = onTen();
  const startMs = Date.now();
  for (let n = 0; n < 60; n += 1) town.openMany(5);
  await town.allEnd();
  expect(api.arrivedMs).toHaveLength(300);
  expect(api.refusedMs).toEqual([]);
  expect(api.mostInFlight).toBe(10);
  // 300 calls of 100 ms on ten: 3 s, and a few ms between each call and the next.
  expect((api.answeredMs.at(-1) ?? 0) - startMs).toBeLessThan(3_600);
});

test("a small batch beside a big one takes little longer than alone", async () => {
  const alone = onTen();
  const startMs = Date.now();
  const only = alone.town.openMany(10);
  await alone.town.allEnd();
  const aloneMs = (alone.town.endMs(only) ?? 0) - startMs;

  const { town } = onTen();
  town.openMany(1_000);
  await town.pass(2_000);
  const openedMs = Date.now();
  const small = town.openMany(10);
  await town.until(() => town.endMs(small) !== undefined);
  // It has half of the ten calls, and the first come free when calls that are under way end.
  expect((town.endMs(small) ?? 0) - openedMs).toBeLessThan(2 * aloneMs + 200);
});

describe("batches that share a rate", () => {
  /** Calls answered within a minute of an upstream with a limit of its own. */
  async function inAMinute(batches: number, rpm: number, latencyMs: number) {
    const api = new Api({ latencyMs: () => latencyMs, limits: { rpm, burst: 1 } });
    const limits = {
      UPSTREAM_RPM: String(rpm),
      UPSTREAM_BURST: "1",
      UPSTREAM_MAX_CONCURRENCY: "50",
      CONSUMER_LANES: "50",
    };
    const base = { UPSTREAM_BASE_URL: "http://a/v1", UPSTREAM_ALLOW_PRIVATE: "1" };
    const town = new Town({ ...base, ...limits }, { a: api });
    const ids = Array.from({ length: batches }, () => town.openMany(2_000));
    await town.pass(60_000);
    const done = ids.map((id) => {
      const view = town.batch(id).view();
      return view.ok ? view.value.request_counts.completed : 0;
    });
    return { all: done.reduce((sum, count) => sum + count, 0), done, api };
  }

  test.each([
    [2, 60, 200],
    [2, 120, 10_000],
    [2, 500, 200],
    [5, 500, 200],
  ])("%i at %i a minute use all of it, each its part, with calls of %i ms", async (n, rpm, ms) => {
    const { all, done, api } = await inAMinute(n, rpm, ms);
    // What is in flight at the end was begun in time.
    expect(all + api.inFlight).toBeGreaterThan(0.95 * rpm);
    expect(api.refusedMs).toEqual([]);
    expect(Math.min(...done)).toBeGreaterThan(0.8 * Math.max(...done));
  });
});

test("tasks that wait for their retries are called when these are due, beside a batch that wants all", async () => {
  const { town } = onTen({ fails: (model, nth) => model === "bad" && nth <= 6 });
  town.openMany(5_000);
  await town.pass(1_000);
  const openedMs = Date.now();
  const small = town.openMany(2, {}, "bad");
  await town.until(() => town.endMs(small) !== undefined);
  // Its waits are half a second, one and two at the most; alone it takes 3.5 s.
  expect((town.endMs(small) ?? 0) - openedMs).toBeLessThan(5_000);
});

describe("two batches that compete", () => {
  test.each([
    [10, 10, 1],
    [10, 20, 2],
    [10, 90, 9],
  ])("with priorities %i and %i share calls as 1 to %i", async (light, heavy, ratio) => {
    const { town } = onTen();
    const a = town.openMany(2_000, { priority: light });
    const b = town.openMany(2_000, { priority: heavy });
    await town.pass(10_000);
    const done = (id: string) => {
      const view = town.batch(id).view();
      return view.ok ? view.value.request_counts.completed : 0;
    };
    expect(done(a) + done(b)).toBeGreaterThan(900);
    expect(done(b) / done(a)).toBeGreaterThan(0.8 * ratio);
    expect(done(b) / done(a)).toBeLessThan(1.25 * ratio);
  });

  test("the one's max_concurrency holds exactly, and the other takes the rest", async () => {
    const { town, api } = onTen();
    const held: number[] = [];
    const few = town.openMany(2_000, { max_concurrency: 2 });
    const many = town.openMany(2_000);
    await town.until(() => {
      const view = town.batch(few).view();
      if (view.ok) held.push(view.value.muster.counts.running);
      return held.length === 5_000;
    });
    expect(Math.max(...held)).toBe(2);
    expect(api.mostInFlight).toBe(10);
    const view = town.batch(many).view();
    expect(view.ok && view.value.request_counts.completed).toBeGreaterThan(360);
  });
});
