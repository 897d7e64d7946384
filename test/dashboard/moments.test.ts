import { describe, expect, test } from "vitest";
import { Moments, quantile } from "../../src/dashboard/page/moments.ts";

const step = (at: string, change: object = {}) => ({
  at,
  ...{ succeeded: 0, failed: 0, throttled: 0, retried: 0 },
  latency_ms: [] as [number, number][],
  ...change,
});

describe("a chart's points", () => {
  test("add up parts of one step, and show the time in which nothing ended", () => {
    const moments = new Moments();
    moments.add({ data: [step("2026-01-01T00:00:00Z", { succeeded: 2, latency_ms: [[10, 2]] })] });
    moments.add({
      data: [
        step("2026-01-01T00:00:00Z", { succeeded: 1, throttled: 4, latency_ms: [[100, 1]] }),
        step("2026-01-01T00:00:03Z", { failed: 1 }),
      ],
    });
    const points = moments.points();
    expect(
      points.map(({ succeeded, failed, throttled }) => [succeeded, failed, throttled]),
    ).toEqual([
      [3, 0, 4],
      [0, 0, 0],
      [0, 0, 0],
      [0, 1, 0],
    ]);
    expect(points[0]).toMatchObject({ p50: 10, p99: 100 });
    expect(points[1]?.p50).toBeUndefined();
  });

  test("take wider steps when a batch is long, and keep rates and counts", () => {
    const moments = new Moments();
    const start = Date.parse("2026-01-01T00:00:00Z");
    const data = Array.from({ length: 3_600 }, (_, second) =>
      step(new Date(start + second * 1000).toISOString(), { succeeded: 7, latency_ms: [[5, 7]] }),
    );
    moments.add({ data });
    const points = moments.points();
    expect(points.length).toBeLessThanOrEqual(241);
    expect(new Set(points.map(({ succeeded }) => succeeded))).toEqual(new Set([7]));
  });

  test("are none without a call", () => {
    expect(new Moments().points()).toEqual([]);
  });
});

test.each([
  [0, 1],
  [0.5, 1],
  [0.51, 2],
  [1, 3],
])("the %d quantile by nearest rank is %d", (share, ms) => {
  expect(
    quantile(
      [
        [3, 1],
        [1, 2],
        [2, 1],
      ],
      share,
    ),
  ).toBe(ms);
});
