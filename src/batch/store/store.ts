import type { Database, Sql } from "../../core/sql.ts";
import type { ProgressRow } from "../schema.ts";
import { BatchRows } from "./batch-row.ts";
import { Closing } from "./closing.ts";
import { Deliveries } from "./deliveries.ts";
import { Holders } from "./holders.ts";
import { Prices } from "./prices.ts";
import { Progress } from "./progress.ts";
import { Purse } from "./purse.ts";
import { Tasks } from "./tasks.ts";
import { Twins } from "./twins.ts";

/** Everything a Batch keeps. All SQL of the Batch is in this folder. */
export class Store {
  readonly sql: Sql;
  readonly rows: BatchRows;
  readonly counts: Progress;
  readonly prices: Prices;
  readonly purse: Purse;
  readonly tasks: Tasks;
  readonly twins: Twins;
  readonly closing: Closing;
  readonly holders: Holders;
  readonly deliveries: Deliveries;
  readonly #storage: Database;
  #depth = 0;

  constructor(storage: Database) {
    this.#storage = storage;
    this.sql = storage.sql;
    this.rows = new BatchRows(storage.sql);
    this.counts = new Progress(storage.sql);
    this.prices = new Prices(storage.sql);
    this.purse = new Purse(storage.sql, this.rows, this.counts, this.prices);
    this.tasks = new Tasks(storage.sql, this.counts, this.purse, this.rows);
    this.twins = new Twins(storage.sql, this.counts);
    this.closing = new Closing(storage.sql, this.counts, this.twins);
    this.holders = new Holders(storage.sql);
    this.deliveries = new Deliveries(storage.sql);
  }

  /** Counts and sums. @throws before the batch is opened. */
  progress(): Readonly<ProgressRow> {
    return this.counts.get();
  }

  /** Runs `change` as one transaction: all of it is kept, or none; in memory, too. */
  transaction<T>(change: () => T): T {
    const before = this.counts.kept();
    this.#depth += 1;
    this.counts.held = true;
    try {
      return this.#storage.transactionSync(() => {
        const result = change();
        if (this.#depth === 1) this.counts.write();
        return result;
      });
    } catch (error) {
      this.counts.undo(before);
      this.rows.forget();
      this.prices.forget();
      this.holders.forget();
      throw error;
    } finally {
      this.#depth -= 1;
      this.counts.held = this.#depth > 0;
    }
  }
}

/** Whether an object's storage holds a batch. Asking writes nothing: an unknown id stays unknown. */
export function isOpened(sql: Sql): boolean {
  return (
    sql.exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'batch'").toArray()
      .length > 0
  );
}
