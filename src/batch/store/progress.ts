import type { Sql } from "../../core/sql.ts";
import type { ProgressRow } from "../schema.ts";

/** A change of counts and sums; what is absent stays. */
export type ProgressChange = Partial<ProgressRow>;

/** The table's columns, in the order that {@link WRITE} takes them. */
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
  "priced",
  "cost",
  "reserved_tokens",
  "reserved_cost",
  "longest_output",
  "budget_stopped",
  "twins",
  "twins_pending",
] as const satisfies (keyof ProgressRow)[];

const WRITE = `UPDATE progress SET ${COLUMNS.map((name) => `${name} = ?`).join(", ")}`;

/** What a transaction goes back to when it is undone. */
export interface Kept {
  row: Readonly<ProgressRow> | undefined;
  written: boolean;
}

/**
 * The counts and sums of a batch. They are read at every step, so they are kept in memory, and they
 * change with every task, so a transaction writes them once, at its end (see Store). Whoever changes
 * tasks adds the change in the same transaction, so the sums always hold.
 */
export class Progress {
  /** Whether changes wait for {@link write}: while a transaction is under way. */
  held = false;
  readonly #sql: Sql;
  #kept: Kept = { row: undefined, written: true };

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** @throws before the batch is opened. */
  get(): Readonly<ProgressRow> {
    this.#kept.row ??= this.#sql.exec<ProgressRow>("SELECT * FROM progress").toArray()[0];
    if (this.#kept.row !== undefined) return this.#kept.row;
    throw new Error("progress is read of a batch that was never opened");
  }

  /** Adds a change. */
  add(change: ProgressChange): void {
    const row = { ...this.get() };
    for (const name of COLUMNS) row[name] += change[name] ?? 0;
    this.#kept = { row, written: false };
    if (!this.held) this.write();
  }

  /** Writes what was added. */
  write(): void {
    if (this.#kept.written) return;
    const row = this.get();
    this.#sql.exec(WRITE, ...COLUMNS.map((name) => row[name]));
    this.#kept = { row, written: true };
  }

  /** What it is now, for {@link undo}. */
  kept(): Kept {
    return { ...this.#kept };
  }

  /** Goes back to what it was when the transaction began that was undone. */
  undo(kept: Kept): void {
    this.#kept = kept;
  }
}
