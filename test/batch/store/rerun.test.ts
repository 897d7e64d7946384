import { expect, test } from "vitest";
import { migrations } from "../../../src/batch/migrations.ts";
import { readHistory } from "../../../src/batch/store/history.ts";
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

/** A store with a batch of so many tasks, in progress, that may spend so many tokens. */
function opened(tasks: number, max_tokens_total: number | null, large: number): Store {
  const store = new Store(new SqliteFile(migrations).open());
  const batch = { ...NEW, batch_id: "b", created_at: 1, expires_at: DAY_MS, max_tokens_total };
  store.transaction(() => {
    store.rows.insert(batch);
    const all = Array.from({ length: tasks }, (_, seq) => {
      const outputTokens = seq < large ? 1_000 : 1;
      return { customId: `t${seq}`, body: "{}", cost: 2, inputTokens: 1, outputTokens, model: "m" };
    });
    addTasks(store, all, []);
    store.rows.begin("m", 1);
  });
  return store;
}

/** All that is ready is claimed, and answered with a status. */
function answerAll(store: Store, status: number, nowMs: number): void {
  store.transaction(() => {
    for (const { seq, attempt } of store.tasks.claim(99, "h", 1e6, nowMs)) {
      const kind = status === 200 ? ("succeeded" as const) : ("failed" as const);
      const result = { kind: "answered" as const, status, requestId: "", body: "{}" };
      const report = { seq, attempt, tookMs: 1, verdict: { kind }, result };
      const standing = () => ({ othersPass: true, meaning: <T>(verdict: T) => verdict });
      record(store, report, "b", RULES, nowMs, 0.5, standing);
    }
  });
}

const STOPPED = { state: "failed" as const, error: { code: "budget_stopped", message: "" } };

test("what is ready after a retry is what was stopped, wherever it stands in the input", () => {
  const store = opened(10, 100, 1);
  const stop = () => store.closing.unaffordable(store.tasks.unaffordable(9), STOPPED, "l", 2);
  store.transaction(stop);
  answerAll(store, 200, 3);
  expect(store.progress()).toMatchObject({ pending: 0, succeeded: 9, failed: 1 });
  store.transaction(() => {
    store.rows.stop("completed");
    store.rows.finalize(4);
    store.rows.end("completed", "", 4);
    store.rows.reopen(5, DAY_MS);
    store.rows.setBudget(null, null);
    store.tasks.rerun(5);
  });
  expect(store.tasks.ready(99, 6)).toBe(1);
  expect(store.tasks.claim(1, "h", 1e6, 6)).toMatchObject([{ seq: 0 }]);
  expect(store.tasks.ready(99, 6)).toBe(0);
});

test("what was stopped is not ready once there is no budget any more", () => {
  const store = opened(10, 100, 4);
  store.transaction(() => store.closing.unaffordable(store.tasks.unaffordable(9), STOPPED, "l", 2));
  store.rows.setBudget(null, null);
  expect(store.tasks.ready(99, 3)).toBe(6);
  store.tasks.claim(2, "h", 1e6, 3);
  expect(store.tasks.ready(99, 3)).toBe(4);
});

test("what a budget pays for is ready, and no more", () => {
  const store = opened(10, 7, 0);
  expect(store.tasks.ready(99, 3)).toBe(3);
  expect(store.tasks.ready(2, 3)).toBe(2);
  store.rows.setBudget(9, null);
  expect(store.tasks.ready(99, 3)).toBe(4);
  store.tasks.claim(1, "h", 1e6, 3);
  expect(store.tasks.ready(99, 3)).toBe(3);
});

test("an attempt that failed its task is told once when the task is run again", () => {
  const store = opened(2, null, 0);
  answerAll(store, 400, 3);
  store.transaction(() => store.tasks.rerun(4));
  expect(readHistory(store.sql, "t0")?.attempts).toMatchObject([
    { attempt: 1, verdict: "failed", status_code: 400, error: "The upstream answered 400." },
  ]);
});
