import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Api } from "./api.ts";
import { Town } from "./town.ts";

beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 10, 22) }));
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** An upstream with these limits of its own, that Muster is told of. */
function onLimits(limits: Record<string, string>, latencyMs: number): { town: Town; api: Api } {
  const api = new Api({ latencyMs: () => latencyMs });
  const base = { UPSTREAM_BASE_URL: "http://a/v1", UPSTREAM_ALLOW_PRIVATE: "1" };
  const lanes = { UPSTREAM_MAX_CONCURRENCY: "50", CONSUMER_LANES: "50" };
  return { town: new Town({ ...base, ...lanes, ...limits }, { a: api }), api };
}

/** A call for which so many tokens are reserved, and of which twenty are used. */
const reserving = (tokens: number) => ({
  inputTokens: 50,
  outputTokens: tokens - 50,
  cost: tokens,
});

describe("tokens that were reserved and not used", () => {
  test.each([8_000, 100_000, 1_000_000_000])(
    "do not keep the batch's next calls waiting: %i for each",
    async (tokens) => {
      const { town } = onLimits({ UPSTREAM_TPM: "10000" }, 1_000);
      const startMs = Date.now();
      const id = town.open(Array<string>(5).fill("m"), {}, () => reserving(tokens));
      await town.allEnd();
      // They use a hundred in all; the first has to tell before the others can begin.
      expect((town.endMs(id) ?? 0) - startMs).toBeLessThan(10_000);
    },
  );

  test("have no batch ask again and again, once a retry lifts the budget that they stopped it by", async () => {
    const { town, api } = onLimits({ UPSTREAM_MAX_CONCURRENCY: "5", CONSUMER_LANES: "5" }, 60_000);
    const id = town.open(
      ["large", ...Array<string>(9).fill("m")],
      { max_tokens_total: 5_000 },
      (n) => (n === 0 ? reserving(100_000) : {}),
    );
    await town.allEnd();
    expect(town.batch(id).retry({ max_tokens_total: null })).toMatchObject({ ok: true });
    await town.until(() => api.inFlight === 1);
    const before = town.rpcs;
    await town.pass(50_000);
    // The one call that is left is under way: there is nothing to ask for.
    expect(api.inFlight).toBe(1);
    expect(town.rpcs - before).toBeLessThan(500);
  });

  test("do not keep another project's batch waiting", async () => {
    const { town } = onLimits({ UPSTREAM_TPM: "30000" }, 1_000);
    const startMs = Date.now();
    const id = town.open(Array<string>(600).fill("m"), { max_concurrency: 4 });
    await town.pass(20_000);
    town.open(["odd"], { project: "q" }, () => reserving(1_000_000_000));
    await town.until(() => town.endMs(id) !== undefined);
    // Four at a time, of a second each.
    expect((town.endMs(id) ?? 0) - startMs).toBeLessThan(170_000);
  });
});

test.each([0, 1_000])("twenty a minute are used where the queue takes %i ms", async (queueMs) => {
  const { town, api } = onLimits({ UPSTREAM_RPM: "20" }, 500);
  town.queueMs = queueMs;
  town.openMany(1_000);
  await town.pass(10 * 60_000);
  expect(api.arrivedMs.length).toBeGreaterThan(195);
  expect(api.arrivedMs.length).toBeLessThanOrEqual(201);
});

test("long calls keep their places though nobody reaches the Project", async () => {
  const { town, api } = onLimits({ UPSTREAM_MAX_CONCURRENCY: "5", CONSUMER_LANES: "5" }, 118_000);
  town.manyInvocations = true;
  town.openMany(20);
  await town.until(() => api.inFlight === 5);
  const other = town.openMany(20, { project: "q" });
  town.projectAway = true;
  // A hold that nobody confirms is over after 90 s.
  await town.pass(110_000);
  expect(api.mostInFlight).toBe(5);
  town.projectAway = false;
  await town.until(() => town.endMs(other) !== undefined, 3_600_000);
  expect(api.mostInFlight).toBe(5);
});
