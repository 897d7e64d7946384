import { type PatternPrice, priceOf } from "../../config/prices.ts";
import { bodyHash } from "../../core/compact-json.ts";
import type { Sql } from "../../core/sql.ts";
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
  { sql, counts, prices: rows, rows: batch }: Store,
  tasks: readonly NewTask[],
  prices: readonly PatternPrice[],
): number[] {
  let seq = sql
    .exec<{ next: number }>("SELECT coalesce(max(seq) + 1, 0) AS next FROM task")
    .one().next;
  const refused: number[] = [];
  const priceOfModel = kept(rows, prices);
  const dedupe = batch.get()?.dedupe === 1;
  let priced = 0;
  let twins = 0;
  for (const [index, task] of tasks.entries()) {
    const price = priceOfModel(task.model);
    const hash = dedupe ? bodyHash(task.body) : null;
    const original = hash === null ? null : originalOf(sql, hash);
    const added = sql
      .exec(
        `INSERT OR IGNORE INTO task (seq, custom_id, cost, input_tokens, output_tokens, price,
           body_hash, twin_of, attempt)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq`,
        seq,
        task.customId,
        task.cost,
        task.inputTokens,
        task.outputTokens,
        price,
        original === null ? hash : null,
        original,
        original === null ? 0 : TWIN_ATTEMPT,
      )
      .toArray();
    if (added.length === 0) {
      refused.push(index);
      continue;
    }
    sql.exec("INSERT INTO input (seq, body) VALUES (?, ?)", seq, task.body);
    if (price !== null) priced += 1;
    if (original !== null) twins += 1;
    seq += 1;
  }
  const count = tasks.length - refused.length;
  counts.add({ total: count, pending: count, priced, twins, twins_pending: twins });
  return refused;
}

/** A twin is never handed out: a fresh task has made 0 attempts, a retry more. */
const TWIN_ATTEMPT = -1;

/** The task that has this body already. */
function originalOf(sql: Sql, hash: string): number | null {
  const [first] = sql
    .exec<{ seq: number }>("SELECT seq FROM task WHERE body_hash = ?", hash)
    .toArray();
  return first?.seq ?? null;
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
  const { total, pending, priced, twins } = counts.get();
  const none = { total: -total, pending: -pending, priced: -priced };
  counts.add({ ...none, twins: -twins, twins_pending: -twins });
}

/** The model of the first task, or undefined while there is none. */
export function firstModel(sql: Sql): { model: string | undefined } | undefined {
  const [first] = sql
    .exec<{ body: string }>("SELECT body FROM input ORDER BY seq LIMIT 1")
    .toArray();
  if (first === undefined) return undefined;
  // Not by SQLite, which takes no JSON that is more than a thousand levels deep.
  const { model } = JSON.parse(first.body) as { model?: unknown };
  return { model: typeof model === "string" ? model : undefined };
}
