import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Api, type ApiSettings } from "./api.ts";
import { Town } from "./town.ts";

const START_MS = Date.UTC(2026, 10, 22);

beforeEach(() => void vi.useFakeTimers({ now: START_MS }));
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A town with two upstreams, in this order. */
function townOf(first: Partial<ApiSettings>, second: Partial<ApiSettings>) {
  const api = (change: Partial<ApiSettings>) => new Api({ latencyMs: () => 1_000, ...change });
  const apis = { first: api(first), second: api(second) };
  const upstreams = ["first", "second"].map((name) => ({
    ...{ name, base_url: `http://${name}/v1`, max_concurrency: 4 },
  }));
  const vars = { UPSTREAMS: JSON.stringify(upstreams), UPSTREAM_ALLOW_PRIVATE: "1" };
  return { ...apis, town: new Town({ ...vars, CONSUMER_LANES: "50" }, apis) };
}

function counts(town: Town, id: string) {
  const view = town.batch(id).view();
  return view.ok ? view.value.request_counts : undefined;
}

const always = () => true;
const sinceStartMs = () => Date.now() - START_MS;

describe.each([
  ["a pool", 1],
  ["a batch with another upstream behind", 0],
] as const)("%s", (_name, pool) => {
  test.each(["first", "second"])(
    "is called as a whole though the %s has a bad key",
    async (bad) => {
      const refusing = { refusesKey: always };
      const world = bad === "first" ? townOf(refusing, {}) : townOf({}, refusing);
      const id = world.town.openMany(100, { pool });
      await world.town.allEnd();
      expect(counts(world.town, id)).toEqual({ total: 100, completed: 100, failed: 0 });
      const burnt = world[bad === "first" ? "first" : "second"].arrivedMs.length;
      // Those of the beginning, and probes after 1, 3, 7, 15 and 31 s.
      expect(burnt).toBeLessThanOrEqual(4 + 5);
      // The other one was full all the time.
      expect(sinceStartMs()).toBeLessThan(1.1 * (100 / 4) * 1_000);
    },
  );

  test("uses a key again once it is mended", async () => {
    const { town, first } = townOf({ refusesKey: () => sinceStartMs() < 20_000 }, {});
    town.openMany(400, { pool });
    await town.pass(20_000);
    // Those of the beginning, and probes after 1, 3, 7 and 15 s.
    expect(first.arrivedMs.length).toBeLessThanOrEqual(4 + 4);
    await town.pass(20_000);
    expect(first.answeredMs.length).toBeGreaterThan(20);
  });

  test("loses a call or two when a key is revoked under way", async () => {
    const { town, first } = townOf({ refusesKey: () => sinceStartMs() > 6_000 }, {});
    const id = town.openMany(100, { pool });
    await town.allEnd();
    expect(first.answeredMs.length).toBeGreaterThan(10);
    expect(counts(town, id)?.failed).toBeLessThanOrEqual(2);
  });

  test("stops early when every key is bad", async () => {
    const { town, first, second } = townOf({ refusesKey: always }, { refusesKey: always });
    const id = town.openMany(200, { pool });
    await town.allEnd();
    expect(counts(town, id)).toEqual({ total: 200, completed: 0, failed: 200 });
    expect(first.arrivedMs.length + second.arrivedMs.length).toBeLessThan(20);
    expect(sinceStartMs()).toBeLessThan(5_000);
  });

  test("goes on when run again once the provider takes one of the keys", async () => {
    let bad = true;
    const { town } = townOf({ refusesKey: () => bad }, { refusesKey: always });
    const id = town.openMany(50, { pool });
    await town.allEnd();
    bad = false;
    town.batch(id).retry({});
    await town.until(() => counts(town, id)?.completed === 50);
  });
});

test("a bad key behind an upstream that is down for a minute costs no task anything", async () => {
  const { town, second } = townOf({ down: () => sinceStartMs() < 60_000 }, { refusesKey: always });
  const id = town.openMany(200);
  await town.allEnd();
  expect(counts(town, id)).toEqual({ total: 200, completed: 200, failed: 0 });
  expect(second.arrivedMs.length).toBeLessThanOrEqual(4 + 7);
});
