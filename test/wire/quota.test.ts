import { expect, test } from "vitest";
import { quotaOverrides, quotasOf, UNBOUNDED } from "../../src/wire/quota.ts";

const SETTINGS = { ...UNBOUNDED, openBatches: 10, requestsPerMinute: 600 };

test("a project has the settings' quotas where it has none of its own", () => {
  expect(quotasOf(SETTINGS, {})).toEqual(SETTINGS);
  expect(quotasOf(SETTINGS, { open_batches: null })).toEqual(SETTINGS);
});

test("a quota of its own goes before the setting's, none and 0 too", () => {
  const set = { open_batches: "none", waiting_tasks: 5, requests_per_minute: 0 } as const;
  expect(quotasOf(SETTINGS, set)).toEqual({
    openBatches: null,
    waitingTasks: 5,
    storedBytes: null,
    requestsPerMinute: 0,
  });
});

test.each([[-1], [1.5], ["5"], ["unlimited"], [2 ** 60], [{}], [true]])(
  "%j is no quota",
  (value) => {
    expect(quotaOverrides.safeParse({ open_batches: value }).success).toBe(false);
  },
);
