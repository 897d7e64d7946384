import type { Price } from "../../core/price.ts";
import type { Sql } from "../../core/sql.ts";

/**
 * The prices of a batch's tasks, by the number of their row. They are kept as they were when a task
 * came in: a change of the settings does not change what a batch has agreed to. Rows are never
 * changed, so they are read once.
 */
export class Prices {
  readonly #sql: Sql;
  readonly #read = new Map<number, Price>();

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** The number of a price's row, made if there is none. */
  keep({ input, cachedInput, output }: Price): number {
    this.#sql.exec(
      "INSERT OR IGNORE INTO price (input, cached_input, output) VALUES (?, ?, ?)",
      input,
      cachedInput,
      output,
    );
    return this.#sql
      .exec<{ id: number }>(
        "SELECT id FROM price WHERE input = ? AND cached_input = ? AND output = ?",
        input,
        cachedInput,
        output,
      )
      .one().id;
  }

  /** The price of that number; undefined for a task whose model has none. */
  get(id: number | null): Price | undefined {
    if (id === null) return undefined;
    let price = this.#read.get(id);
    if (price === undefined) {
      price = this.#sql
        .exec<Price & Record<string, number>>(
          "SELECT input, cached_input AS cachedInput, output FROM price WHERE id = ?",
          id,
        )
        .one();
      this.#read.set(id, price);
    }
    return price;
  }

  /** Forgets what was read: after a transaction that was undone. */
  forget(): void {
    this.#read.clear();
  }
}
