import type { Database, Sql } from "../../core/sql.ts";
import type { ProgressRow } from "../schema.ts";
import { BatchRows } from "./batch-row.ts";
import { Closing } from "./closing.ts";
import { Deliveries } from "./deliveries.ts";
import { Holders } from "./holders.ts";
import { readProgress } from "./progress.ts";
import { Tasks } from "./tasks.ts";

/** Everything a Batch keeps. All SQL of the Batch is in this folder. */
export class Store {
  readonly sql: Sql;
  readonly rows: BatchRows;
  readonly tasks: Tasks;
  readonly closing: Closing;
  readonly holders: Holders;
  readonly deliveries: Deliveries;
  readonly #storage: Database;

  constructor(storage: Database) {
    this.#storage = storage;
    this.sql = storage.sql;
    this.rows = new BatchRows(storage.sql);
    this.tasks = new Tasks(storage.sql);
    this.closing = new Closing(storage.sql);
    this.holders = new Holders(storage.sql);
    this.deliveries = new Deliveries(storage.sql);
  }

  /** Counts and sums. @throws before the batch is opened. */
  progress(): ProgressRow {
    const row = readProgress(this.sql);
    if (row === undefined) throw new Error("progress is read of a batch that was never opened");
    return row;
  }

  /** Runs `change` as one transaction: all of it is kept, or none. */
  transaction<T>(change: () => T): T {
    return this.#storage.transactionSync(change);
  }
}

/** Whether an object's storage holds a batch. Asking writes nothing: an unknown id stays unknown. */
export function isOpened(sql: Sql): boolean {
  return (
    sql.exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'batch'").toArray()
      .length > 0
  );
}
