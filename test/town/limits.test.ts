import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Api } from "./api.ts";
import { Town } from "./town.ts";

beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 10, 22) }));
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Upstreams as OpenAI's are: a bucket of a minute's worth, whose headers tell of it. */
test.each([
  [3_000, 1_000, 200],
  [500, 2_000, 50],
  [500, 500, undefined],
])(
  "a limit of %i a minute that headers tell is kept to, with calls of %i ms, %s at once",
  async (rpm, latencyMs, most) => {
    const spread = 0.5;
    const api = new Api({
      latencyMs: (chance) => latencyMs * (1 - spread + 2 * spread * chance.next()),
      limits: { rpm, burst: rpm },
    });
    const vars = most === undefined ? {} : { UPSTREAM_MAX_CONCURRENCY: String(most) };
    const base = { UPSTREAM_BASE_URL: "http://a/v1", UPSTREAM_ALLOW_PRIVATE: "1" };
    const town = new Town({ ...base, ...vars, CONSUMER_LANES: "250" }, { a: api });
    town.openMany(20_000);
    await town.pass(180_000);
    const [answered, refused] = [api.answeredMs.length, api.refusedMs.length];
    // The bucket that was full, and three minutes.
    expect(answered).toBeGreaterThan(0.93 * 4 * rpm);
    expect(refused).toBeLessThan(0.005 * answered);
  },
);
