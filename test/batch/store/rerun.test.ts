import { expect, test } from "vitest";
import { migrations } from "../../../src/batch/migrations.ts";
import { addTasks } from "../../../src/batch/store/intake.ts";
import { record } from "../../../src/batch/store/record.ts";
import { Store } from "../../../src/batch/store/store.ts";
import { SqliteFile } from "../../simulation/sqlite.ts";
import { NEW } from "../../town/town.ts";

const RULES = { maxAttempts: 8, baseMs: 100, maxMs: 1_000 };
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

test("a task that is run again has no 429s behind it, as it has no failures", () => {
  const store = new Store(new SqliteFile(migrations).open());
  let nowMs = 1_000_000;
  const task = { customId: "a", body: "{}", cost: 1, inputTokens: 1, outputTokens: 1, model: "m" };
  store.transaction(() => {
    store.rows.insert({ ...NEW, batch_id: "b", created_at: nowMs, expires_at: nowMs + DAY_MS });
    addTasks(store, [task], []);
    store.rows.begin("m", nowMs);
  });
  /** The task is called, and gets a 429. @returns how long it waits then. */
  const throttled = (attempt: number): number => {
    expect(store.transaction(() => store.tasks.claim(1, "h", 1e6, nowMs))).toHaveLength(1);
    const result = { kind: "answered" as const, status: 429, requestId: "", body: "{}" };
    const report = { seq: 0, attempt, tookMs: 1, verdict: { kind: "throttled" as const }, result };
    const standing = () => ({ othersPass: true, meaning: <T>(verdict: T) => verdict });
    const { againAtMs } = store.transaction(() =>
      record(store, report, "b", RULES, nowMs, 0.99, standing),
    );
    return (againAtMs ?? Number.NaN) - nowMs;
  };
  expect(throttled(1)).toBe(0);
  for (let attempt = 2; attempt <= 12; attempt += 1) {
    nowMs += HOUR_MS;
    throttled(attempt);
  }
  nowMs += HOUR_MS;
  expect(throttled(13)).toBeGreaterThan(60_000);
  const error = { code: "batch_expired" as const, message: "" };
  store.transaction(() => store.closing.next({ state: "expired", error }, "l", 10, nowMs));
  nowMs += DAY_MS;
  store.transaction(() => store.tasks.rerun(nowMs));
  expect(throttled(14)).toBe(0);
});
