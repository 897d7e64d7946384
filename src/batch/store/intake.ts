import type { NewTask } from "../../wire/request.ts";
import type { Store } from "./store.ts";

/**
 * Adds tasks behind those that are there. Run it inside a transaction.
 *
 * @returns the indexes (in `tasks`) whose custom_id an earlier task has; those were not added.
 */
export function addTasks({ sql, counts }: Store, tasks: readonly NewTask[]): number[] {
  let seq = sql
    .exec<{ next: number }>("SELECT coalesce(max(seq) + 1, 0) AS next FROM task")
    .one().next;
  const refused: number[] = [];
  for (const [index, task] of tasks.entries()) {
    const added = sql
      .exec(
        "INSERT OR IGNORE INTO task (seq, custom_id, cost) VALUES (?, ?, ?) RETURNING seq",
        seq,
        task.customId,
        task.cost,
      )
      .toArray();
    if (added.length === 0) {
      refused.push(index);
      continue;
    }
    sql.exec("INSERT INTO input (seq, body) VALUES (?, ?)", seq, task.body);
    seq += 1;
  }
  const count = tasks.length - refused.length;
  counts.add({ total: count, pending: count });
  return refused;
}

/** Drops every task: what a batch that failed validation keeps none of. */
export function dropTasks({ sql, counts }: Store): void {
  sql.exec("DELETE FROM input");
  sql.exec("DELETE FROM task");
  const { total, pending } = counts.get();
  counts.add({ total: -total, pending: -pending });
}
