import type { Sql } from "../core/sql.ts";
import { TASK_STATES, type TaskState } from "../core/task.ts";
import type { BatchStatus } from "../wire/batch.ts";
import type { Digest } from "./digest.ts";

/** A project's batches in sums, as its batches last told. */
export interface Totals {
  /** Batches there are, by status. */
  batches: Partial<Record<BatchStatus, number>>;
  /** Tasks, by state; of ended states also those of batches that were deleted. */
  tasks: Record<TaskState, number>;
  inputTokens: number;
  outputTokens: number;
  /** Bytes that results take up. */
  resultBytes: number;
}

const COLUMNS = [
  "status",
  "endpoint",
  "model",
  "metadata",
  "input_tokens",
  "output_tokens",
  "bytes",
  "noted_at",
  ...TASK_STATES,
] as const satisfies (keyof Digest)[];

/** What is kept of a batch that is gone. */
const COUNTERS = ["input_tokens", "output_tokens", "succeeded", "failed", "cancelled", "expired"];

/** What the batches of a project told of themselves. */
export class Digests {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Takes a batch's word. One that is not in the index is gone, or was never opened. */
  note(batchId: string, digest: Digest): void {
    this.#sql.exec(
      `INSERT INTO digest (batch_id, ${COLUMNS.join(", ")})
       SELECT ?1, ${COLUMNS.map((_, index) => `?${index + 2}`).join(", ")}
       WHERE EXISTS (SELECT 1 FROM batch WHERE batch_id = ?1)
       ON CONFLICT (batch_id) DO UPDATE
       SET ${COLUMNS.map((name) => `${name} = excluded.${name}`).join(", ")}
       WHERE excluded.noted_at >= digest.noted_at`,
      batchId,
      ...COLUMNS.map((name) => digest[name]),
    );
  }

  /** Moves a batch's counts to those that are gone. */
  remove(batchId: string): void {
    const sums = COUNTERS.map((name) => `${name} = gone.${name} + digest.${name}`).join(", ");
    this.#sql.exec(
      `UPDATE gone SET batches = batches + 1, ${sums} FROM digest WHERE digest.batch_id = ?`,
      batchId,
    );
    this.#sql.exec("DELETE FROM digest WHERE batch_id = ?", batchId);
  }

  /** Everything in sums. */
  totals(): Totals {
    type Row = Record<string, number> & { status: BatchStatus };
    const sums = [...COUNTERS, "pending", "running", "bytes"];
    const rows = this.#sql
      .exec<Row>(
        `SELECT status, count(*) AS batches, ${sums.map((name) => `sum(${name}) AS ${name}`).join(", ")}
         FROM digest GROUP BY status`,
      )
      .toArray();
    const gone = this.#sql.exec<Record<string, number>>("SELECT * FROM gone").one();
    const sum = (name: string) =>
      rows.reduce((total, row) => total + (row[name] ?? 0), gone[name] ?? 0);
    const tasks = {} as Record<TaskState, number>;
    for (const state of TASK_STATES) tasks[state] = sum(state);
    return {
      batches: Object.fromEntries(rows.map(({ status, batches }) => [status, batches ?? 0])),
      tasks,
      inputTokens: sum("input_tokens"),
      outputTokens: sum("output_tokens"),
      resultBytes: sum("bytes"),
    };
  }
}
