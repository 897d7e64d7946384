import type { Sql } from "../../core/sql.ts";
import { NEED, type NeedRow } from "./purse.ts";

/** Behind `FROM task`: those that are no twins, by an index that has no twins, which may be most. */
export const ORIGINAL = "INDEXED BY task_fresh WHERE body_hash IS NOT NULL AND";

const DUE = "state = 'pending' AND attempt > 0 AND not_before <= ?";

/** Where the tasks are that may be handed out. */
interface Line {
  sql: Sql;
  /** No task before this one is fresh. */
  from: number;
  hasTwins: boolean;
}

/** Retries that are due, counted up to `cap`. */
export function countDue({ sql }: Line, cap: number, nowMs: number): number {
  const counting = `SELECT count(*) AS due FROM (SELECT 1 FROM task WHERE ${DUE} LIMIT ?)`;
  return sql.exec<{ due: number }>(counting, nowMs, cap).one().due;
}

/** Tasks that were never attempted, counted up to `cap`. */
export function countFresh({ sql, from, hasTwins }: Line, cap: number): number {
  return sql
    .exec<{ fresh: number }>(
      `SELECT count(*) AS fresh FROM (SELECT 1 FROM task ${freshFrom(hasTwins)} LIMIT ?)`,
      from,
      cap,
    )
    .one().fresh;
}

/**
 * Tasks that may be handed out now, in the order in which they are: up to the first that is not paid
 * for, and up to `cap`. Without their bodies: they may be long.
 *
 * @param pay says of each whether it is paid for: null when it is not.
 */
export function countPaid(
  { sql, from, hasTwins }: Line,
  pay: (row: NeedRow) => object | null,
  cap: number,
  nowMs: number,
): number {
  const due = `SELECT ${NEED} FROM task WHERE ${DUE} ORDER BY not_before, seq LIMIT ?`;
  const fresh = `SELECT ${NEED} FROM task ${freshFrom(hasTwins)} ORDER BY seq LIMIT ?`;
  let count = 0;
  for (const row of sql.exec<NeedRow>(due, nowMs, cap)) {
    if (pay(row) === null) return count;
    count += 1;
  }
  if (count === cap) return count;
  for (const row of sql.exec<NeedRow>(fresh, from, cap - count)) {
    if (pay(row) === null) return count;
    count += 1;
  }
  return count;
}

function freshFrom(hasTwins: boolean): string {
  return `${hasTwins ? ORIGINAL : "WHERE"} seq >= ? AND state = 'pending' AND attempt = 0`;
}
