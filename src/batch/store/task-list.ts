import type { Sql } from "../../core/sql.ts";
import type { TaskState } from "../../core/task.ts";

/** A task in a list: how it stands, and the beginning of what went out and came back. */
export type ListedTask = {
  seq: number;
  custom_id: string;
  state: TaskState;
  /** Calls made, or under way. */
  attempt: number;
  not_before: number;
  took_ms: number | null;
  /** 1 when retrying the batch would run it again. */
  retry: number | null;
  /** The request's body and the output line; null where they are too long for a list. */
  body: string | null;
  line: string | null;
};

export interface TaskQuery {
  afterSeq: number;
  limit: number;
  state: TaskState | undefined;
  /** A part of the custom_id, the request or the output line, as they are stored. */
  search: string | undefined;
}

/** A page of tasks, and the seq it was searched up to; null when that was the last task. */
export interface TaskPage {
  rows: ListedTask[];
  nextAfter: number | null;
}

/** Tasks one request looks at when it searches: the object serves the batch, too. */
const LOOKED_AT = 10_000;
/** Longer bodies and lines are not read for a list. */
const PREVIEW_BYTES = 64 * 1024;

/** Tasks in input order. */
export function listTasks(sql: Sql, { afterSeq, limit, state, search }: TaskQuery): TaskPage {
  const untilSeq = afterSeq + LOOKED_AT;
  const rows = sql
    .exec<ListedTask>(
      `SELECT seq, custom_id, state, max(0, attempt) AS attempt, not_before, took_ms, retry,
         iif(octet_length(body) <= ?6, body, NULL) AS body,
         iif(octet_length(line) <= ?6, line, NULL) AS line
       FROM task LEFT JOIN input USING (seq) LEFT JOIN outcome USING (seq)
       WHERE seq > ?1 AND seq <= ?2 AND (?3 IS NULL OR state = ?3)
         AND (?4 IS NULL OR instr(custom_id, ?4) OR instr(body, ?4) OR instr(line, ?4))
       ORDER BY seq LIMIT ?5`,
      afterSeq,
      untilSeq,
      state ?? null,
      search ?? null,
      limit,
      PREVIEW_BYTES,
    )
    .toArray();
  const reached = rows.length === limit ? (rows.at(-1)?.seq ?? untilSeq) : untilSeq;
  const more = sql.exec("SELECT 1 FROM task WHERE seq > ? LIMIT 1", reached).toArray().length > 0;
  return { rows, nextAfter: more ? reached : null };
}
