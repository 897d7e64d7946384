import { expect, test } from "vitest";
import { migrations } from "../../../src/batch/migrations.ts";
import { readHistory } from "../../../src/batch/store/history.ts";
import { addTasks, firstModel } from "../../../src/batch/store/intake.ts";
import { record } from "../../../src/batch/store/record.ts";
import { Store } from "../../../src/batch/store/store.ts";
import { SqliteFile } from "../../simulation/sqlite.ts";
import { NEW } from "../../town/town.ts";

// SQLite's own JSON functions take a thousand levels.
const DEEP = `${"[".repeat(3_000)}${"]".repeat(3_000)}`;
const BODY = `{"model":"m","metadata":${DEEP}}`;
const RULES = { maxAttempts: 4, baseMs: 100, maxMs: 1_000 };
const NOW_MS = 1_000_000;

/** A batch of tasks `t0`, `t1`, …, each with the deep body. */
function storeOf(count: number, dedupe: 0 | 1) {
  const store = new Store(new SqliteFile(migrations).open());
  const numbers = { cost: 1, inputTokens: 1, outputTokens: 1 };
  const tasks = Array.from({ length: count }, (_, n) => ({
    ...numbers,
    customId: `t${n}`,
    body: BODY,
    model: "m",
  }));
  store.transaction(() => {
    store.rows.insert({ ...NEW, batch_id: "b", dedupe, created_at: 1, expires_at: 1e12 });
    addTasks(store, tasks, []);
    store.rows.begin("m", NOW_MS);
  });
  return store;
}

/** The first task is called, and refused with an answer as deep. */
function refused(store: Store) {
  store.transaction(() => store.tasks.claim(1, "h", 1e6, NOW_MS));
  const body = `{"error":{"message":"no"},"trace":${DEEP}}`;
  const result = { kind: "answered" as const, status: 400, requestId: "r", body };
  const report = { seq: 0, attempt: 1, tookMs: 7, verdict: { kind: "failed" as const }, result };
  const standing = () => ({ othersPass: true, meaning: <T>(verdict: T) => verdict });
  store.transaction(() => record(store, report, "b", RULES, NOW_MS, 0.5, standing));
}

test("the first task's model is known, however deep its body is", () => {
  expect(firstModel(storeOf(1, 0).sql)).toEqual({ model: "m" });
});

test("a task that is run again keeps the attempt that failed, however deep its answer was", () => {
  const store = storeOf(2, 0);
  refused(store);
  store.transaction(() => store.tasks.rerun(NOW_MS + 1));
  expect(readHistory(store.sql, "t0")).toMatchObject({
    state: "pending",
    attempts: [
      {
        attempt: 1,
        took_ms: 7,
        verdict: "failed",
        status_code: 400,
        error: "The upstream answered 400.",
      },
    ],
  });
  expect(store.progress()).toMatchObject({ pending: 2, failed: 0 });
});

test("twins end as their original, however deep its answer was", () => {
  const store = storeOf(3, 1);
  refused(store);
  expect(store.progress()).toMatchObject({ total: 3, failed: 3, pending: 0, budget_stopped: 0 });
  expect(JSON.parse(readHistory(store.sql, "t2")?.line ?? "")).toMatchObject({
    custom_id: "t2",
    response: { status_code: 400 },
  });
});
