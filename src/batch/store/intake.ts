import { type PatternPrice, priceOf } from "../../config/prices.ts";
import type { NewTask } from "../../wire/request.ts";
import type { Prices } from "./prices.ts";
import type { Store } from "./store.ts";

/**
 * Adds tasks behind those that are there. Run it inside a transaction.
 *
 * @param prices what models cost now; each task keeps its own.
 * @returns the indexes (in `tasks`) whose custom_id an earlier task has; those were not added.
 */
export function addTasks(
  { sql, counts, prices: rows }: Store,
  tasks: readonly NewTask[],
  prices: readonly PatternPrice[],
): number[] {
  let seq = sql
    .exec<{ next: number }>("SELECT coalesce(max(seq) + 1, 0) AS next FROM task")
    .one().next;
  const refused: number[] = [];
  const priceOfModel = kept(rows, prices);
  let priced = 0;
  for (const [index, task] of tasks.entries()) {
    const price = priceOfModel(task.model);
    const added = sql
      .exec(
        `INSERT OR IGNORE INTO task (seq, custom_id, cost, input_tokens, output_tokens, price)
         VALUES (?, ?, ?, ?, ?, ?) RETURNING seq`,
        seq,
        task.customId,
        task.cost,
        task.inputTokens,
        task.outputTokens,
        price,
      )
      .toArray();
    if (added.length === 0) {
      refused.push(index);
      continue;
    }
    sql.exec("INSERT INTO input (seq, body) VALUES (?, ?)", seq, task.body);
    if (price !== null) priced += 1;
    seq += 1;
  }
  const count = tasks.length - refused.length;
  counts.add({ total: count, pending: count, priced });
  return refused;
}

/** The row of a model's price, or null; each looked up once. */
function kept(store: Prices, prices: readonly PatternPrice[]) {
  const rows = new Map<string | undefined, number | null>();
  return (model: string | undefined): number | null => {
    let row = rows.get(model);
    if (row === undefined) {
      const price = priceOf(prices, model);
      row = price === undefined ? null : store.keep(price);
      rows.set(model, row);
    }
    return row;
  };
}

/** Drops every task: what a batch that failed validation keeps none of. */
export function dropTasks({ sql, counts }: Store): void {
  sql.exec("DELETE FROM input");
  sql.exec("DELETE FROM task");
  const { total, pending, priced } = counts.get();
  counts.add({ total: -total, pending: -pending, priced: -priced });
}
