import type { Sql } from "../../core/sql.ts";
import type { ProgressRow } from "../schema.ts";

/** A change of counts and sums; what is absent stays. */
export type ProgressChange = Partial<ProgressRow>;

/** The counts and sums of a batch, or undefined before it is opened. */
export function readProgress(sql: Sql): ProgressRow | undefined {
  return sql.exec<ProgressRow>("SELECT * FROM progress").toArray()[0];
}

const COLUMNS = [
  "total",
  "pending",
  "running",
  "succeeded",
  "failed",
  "cancelled",
  "expired",
  "input_tokens",
  "cached_tokens",
  "output_tokens",
  "reasoning_tokens",
  "output_bytes",
  "error_bytes",
  "unauthorized",
] as const satisfies (keyof ProgressRow)[];

const ADD = `UPDATE progress SET ${COLUMNS.map((name) => `${name} = ${name} + ?`).join(", ")}`;

/** Adds a change. Called in the transaction that changed the tasks, so the sums always hold. */
export function addProgress(sql: Sql, change: ProgressChange): void {
  sql.exec(ADD, ...COLUMNS.map((name) => change[name] ?? 0));
}
