import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { SQLSchemaMigrations } from "durable-utils/sql-migrations";
import type { Batch } from "../../../src/batch/batch.ts";
import type { Report } from "../../../src/batch/exchange.ts";
import { migrations } from "../../../src/batch/migrations.ts";
import type { ProgressRow } from "../../../src/batch/schema.ts";
import type { NewBatch } from "../../../src/batch/store/batch-row.ts";
import { addTasks } from "../../../src/batch/store/intake.ts";
import { Store } from "../../../src/batch/store/store.ts";
import { readConfig } from "../../../src/config.ts";
import type { Verdict } from "../../../src/core/outcome.ts";
import { batchStub, projectStub } from "../../../src/stubs.ts";
import type { Endpoint } from "../../../src/wire/batch.ts";
import { newBatchId } from "../../../src/wire/ids.ts";
import { UNBOUNDED } from "../../../src/wire/quota.ts";

/** The retry rules of store tests. */
export const RULES = { maxAttempts: 3, baseMs: 100, maxMs: 1_000 };

/** A new batch's row. */
export function newBatch(change: Partial<NewBatch> = {}): NewBatch {
  const nowMs = Date.now();
  return {
    project: "default",
    batch_id: newBatchId(),
    upstream: "default",
    endpoint: "/v1/chat/completions",
    input_file_id: null,
    completion_window: "24h",
    metadata: null,
    max_concurrency: null,
    priority: 10,
    output_expires_after_s: null,
    max_tokens_total: null,
    max_cost: null,
    dedupe: 0,
    pool: 0,
    webhook_url: null,
    webhook_secret: null,
    on_unknown: "retry",
    input_sha256: null,
    call_headers: null,
    announced: null,
    source_key: null,
    created_at: nowMs,
    expires_at: nowMs + 86_400_000,
    ...change,
  };
}

/** The object of a batch's row. */
export function stubOf(batch: NewBatch): DurableObjectStub<Batch> {
  return batchStub(env, { project: batch.project, batch_id: batch.batch_id });
}

/** A chat request with a prompt. */
export function chat(prompt: string): string {
  return JSON.stringify({ model: "m", messages: [{ role: "user", content: prompt }] });
}

/** Makes the tables of a batch's object, and opens nothing. */
export function makeTables(batch: NewBatch): Promise<void> {
  return runInDurableObject(stubOf(batch), (_, state) =>
    new SQLSchemaMigrations({ doStorage: state.storage, migrations })
      .runAll()
      .then(() => undefined),
  );
}

/**
 * Writes a batch with tasks (`a`, `b`, `c`, … or their index) into its object's SQLite, in
 * progress, without waking anybody: no pointer is sent and no alarm is set. The object is evicted
 * behind it, so that its next call finds the batch as after a restart.
 */
export async function plant<R>(
  batch: NewBatch,
  prompts: readonly string[],
  then: (store: Store, state: DurableObjectState) => R | Promise<R>,
): Promise<R> {
  const stub = stubOf(batch);
  const result = await runInDurableObject(stub, async (_, state) => {
    const { prices } = readConfig(env);
    await new SQLSchemaMigrations({ doStorage: state.storage, migrations }).runAll();
    const store = new Store(state.storage);
    store.transaction(() => {
      store.rows.insert(batch);
      const tasks = prompts.map((prompt, index) => ({
        customId: `task-${index}`,
        body: chat(prompt),
        cost: 10,
        inputTokens: 4,
        outputTokens: 6,
        model: "m",
      }));
      addTasks(store, tasks, prices);
      store.rows.begin("m", Date.now());
    });
    return then(store, state);
  });
  await evictDurableObject(stub);
  return result;
}

/**
 * Changes an object's storage behind its back, and evicts it, so that it finds the change as after
 * a restart: it keeps what it has read.
 */
export async function tamper(
  stub: DurableObjectStub<Batch>,
  statement: string,
  ...bindings: (string | number)[]
): Promise<void> {
  await runInDurableObject(stub, (_, { storage }) => {
    storage.sql.exec(statement, ...bindings);
  });
  await evictDurableObject(stub);
}

/** Takes a batch back to where it is in its project's index, and was never opened. */
export async function unopen(batch: NewBatch): Promise<void> {
  const stub = stubOf(batch);
  await runInDurableObject(stub, async (_, { storage }) => {
    await storage.deleteAlarm();
    await storage.deleteAll();
  });
  await evictDurableObject(stub);
  await runInDurableObject(projectStub(env, batch.project), (_, { storage }) => {
    storage.sql.exec("DELETE FROM digest WHERE batch_id = ?", batch.batch_id);
  });
}

/** Puts batches into a project's index that are never opened. @returns their ids. */
export async function unopened(
  project: string,
  count: number,
  endpoint: Endpoint = "/v1/chat/completions",
): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newBatchId());
  for (const id of ids) {
    const size = { tasks: 1, bytes: 0 };
    await projectStub(env, project).addBatch(
      { project, batch_id: id },
      endpoint,
      null,
      false,
      size,
      UNBOUNDED,
    );
  }
  return ids;
}

/** A report of an attempt with a verdict. */
export function report(seq: number, attempt: number, verdict: Verdict): Report {
  return {
    seq,
    attempt,
    verdict,
    tookMs: 12,
    result:
      verdict.kind === "succeeded"
        ? { kind: "answered", status: 200, requestId: "r", body: `{"attempt":${attempt}}` }
        : { kind: "unanswered", code: "timeout", message: "No answer." },
  };
}

/** The counts as the tasks' own rows have them, to compare with those that are kept. */
export function countsByState(store: Store): Record<string, number> {
  const counts: Record<string, number> = {
    pending: 0,
    running: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
    expired: 0,
  };
  for (const { state, n } of store.sql.exec<{ state: string; n: number }>(
    "SELECT state, count(*) AS n FROM task GROUP BY state",
  )) {
    counts[state] = n;
  }
  return counts;
}

/** The kept counts alone. */
export function countsKept(progress: ProgressRow): Record<string, number> {
  const { pending, running, succeeded, failed, cancelled, expired } = progress;
  return { pending, running, succeeded, failed, cancelled, expired };
}
