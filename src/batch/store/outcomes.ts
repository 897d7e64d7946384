import { createHash } from "node:crypto";
import type { Sql } from "../../core/sql.ts";

/** One recorded outcome as it is read. */
export interface OutcomeRow {
  seq: number;
  /** 1 for a success. */
  ok: number;
  /** 1 when sending it again may succeed. */
  retry: number;
  line: string;
}

/** Which outcomes to read: all, those of the output file, or those of the error file. */
export type OutcomeKind = "all" | "output" | "error";

/**
 * Outcomes in input order after `afterSeq`, at most `limit` of them and about `maxBytes` of lines
 * (at least one).
 */
export function readOutcomes(
  sql: Sql,
  kind: OutcomeKind,
  afterSeq: number,
  limit: number,
  maxBytes: number,
): OutcomeRow[] {
  const where = { all: "", output: "AND ok = 1", error: "AND ok = 0" }[kind];
  const rows: OutcomeRow[] = [];
  let bytes = 0;
  const cursor = sql.exec<{ seq: number; ok: number; retry: number; line: string }>(
    `SELECT seq, ok, retry, line FROM outcome WHERE seq > ? ${where} ORDER BY seq LIMIT ?`,
    afterSeq,
    limit,
  );
  for (const row of cursor) {
    rows.push(row);
    bytes += row.line.length;
    if (bytes >= maxBytes) break;
  }
  return rows;
}

/** The seq of a task, by its custom_id. */
export function seqOf(sql: Sql, customId: string): number | undefined {
  return sql
    .exec<{ seq: number }>("SELECT seq FROM task WHERE custom_id = ?", customId)
    .toArray()[0]?.seq;
}

/**
 * SHA-256, in hex, over all output lines in input order, each with its line feed: the bytes that
 * `GET …/results` gives as JSONL.
 */
export function hashOutcomes(sql: Sql): string {
  const hash = createHash("sha256");
  for (const { line } of sql.exec<{ line: string }>("SELECT line FROM outcome ORDER BY seq")) {
    hash.update(line).update("\n");
  }
  return hash.digest("hex");
}
