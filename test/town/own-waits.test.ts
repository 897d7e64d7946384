import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Api, type ApiSettings } from "./api.ts";
import { Town } from "./town.ts";

const START_MS = Date.UTC(2026, 10, 22);

beforeEach(() => void vi.useFakeTimers({ now: START_MS }));
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function townOf(settings: Partial<ApiSettings>) {
  const api = new Api({ latencyMs: () => 500, ...settings });
  const vars = { UPSTREAM_BASE_URL: "http://a/v1", UPSTREAM_ALLOW_PRIVATE: "1" };
  const rest = { UPSTREAM_MAX_CONCURRENCY: "10", CONSUMER_LANES: "50" };
  return { api, town: new Town({ ...vars, ...rest }, { a: api }) };
}

const tookMs = (town: Town, id: string) => (town.endMs(id) ?? Number.NaN) - START_MS;

describe.each([3_600, 86_400])("a model whose every call is told to wait %i s", (waitS) => {
  test("holds up the others on its quota for some seconds", async () => {
    const { town, api } = townOf({ waitsS: (model) => (model === "x" ? waitS : undefined) });
    town.openMany(300, { project: "q" }, "x");
    const id = town.openMany(1_000);
    await town.until(() => town.endMs(id) !== undefined, 120_000);
    // Fifty seconds of calls; it hears of the wait when it asks again, ten seconds later.
    expect(tookMs(town, id)).toBeLessThan(70_000);
    expect(api.models.get("x")).toBeLessThanOrEqual(10);
  });
});

test("it costs as many calls when it is tried again, and nobody else waits for that", async () => {
  const waitsS = (model: string) => (model === "x" ? 86_400 : undefined);
  const { town, api } = townOf({ waitsS, latencyMs: () => 10_000 });
  town.openMany(300, { project: "q" }, "x");
  town.openMany(2_000);
  await town.pass(880_000);
  expect(api.models.get("x")).toBeLessThanOrEqual(10);
  const before = api.answeredMs.length;
  await town.pass(60_000);
  expect(api.models.get("x")).toBeGreaterThan(10);
  expect(api.models.get("x")).toBeLessThanOrEqual(20);
  expect(api.answeredMs.length - before).toBeGreaterThan(0.9 * 60);
});

test("a wait that is the whole quota's is kept by all, but for a call now and then", async () => {
  const isOver = () => Date.now() >= START_MS + 300_000;
  const waitsS = () => (isOver() ? undefined : (START_MS + 300_000 - Date.now()) / 1_000);
  const { town, api } = townOf({ waitsS });
  const ids = ["x", "m", "n"].map((model) => town.openMany(100, {}, model));
  await town.pass(300_000);
  expect(api.arrivedMs.length).toBeLessThanOrEqual(10 + 3);
  await town.until(() => ids.every((id) => town.endMs(id) !== undefined), 120_000);
});
