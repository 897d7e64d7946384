import type { Sql, SqlValue } from "../../core/sql.ts";
import type { TaskState } from "../../core/task.ts";

/** A recorded outcome in the order of recording. */
export interface NewsRow {
  /** Its place in that order; never given twice, and never smaller later. */
  place: number;
  seq: number;
  custom_id: string;
  state: TaskState;
  /** 1 for a success. */
  ok: number;
  /** 1 when sending it again may succeed. */
  retry: number;
  took_ms: number | null;
  recorded_at: number;
  /** The output line, if it was asked for. */
  line: string | null;
}

/**
 * Outcomes recorded after a place, at most `limit` of them and, with lines, about `maxBytes` (at
 * least one).
 */
export function readNews(
  sql: Sql,
  afterPlace: number,
  limit: number,
  lines: { maxBytes: number } | undefined,
): NewsRow[] {
  const rows: NewsRow[] = [];
  let bytes = 0;
  // CROSS JOIN keeps the order of the tables: places first, then a lookup for each.
  const cursor = sql.exec<NewsRow & Record<string, SqlValue>>(
    `SELECT place, seq, custom_id, state, ok, retry, took_ms, recorded_at,
       ${lines === undefined ? "NULL AS line" : "line"}
     FROM recorded CROSS JOIN outcome USING (seq) CROSS JOIN task USING (seq)
     WHERE place > ? ORDER BY place LIMIT ?`,
    afterPlace,
    limit,
  );
  for (const row of cursor) {
    rows.push(row);
    bytes += row.line?.length ?? 0;
    if (lines !== undefined && bytes >= lines.maxBytes) break;
  }
  return rows;
}

/** The last place given: that of the end, for a batch that has ended. 0 before the first. */
export function lastPlace(sql: Sql): number {
  return sql.exec<{ last: number }>("SELECT coalesce(max(place), 0) AS last FROM recorded").one()
    .last;
}
