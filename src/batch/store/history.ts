import type { Sql, SqlValue } from "../../core/sql.ts";
import type { TaskState } from "../../core/task.ts";

/** One attempt as it is read. Times are milliseconds since the epoch. */
export interface AttemptRow {
  attempt: number;
  started_at: number;
  /** Null while it runs. */
  ended_at: number | null;
  took_ms: number | null;
  /** How it ended; `running` while it runs. */
  verdict: string;
  status_code: number | null;
  error: string | null;
  /** Where its call went, by name; null of one from before that was kept. */
  upstream: string | null;
}

/** A task and all its attempts. */
export interface TaskHistory {
  seq: number;
  custom_id: string;
  state: TaskState;
  /** When it may be tried next, for a pending one that waits. */
  not_before: number;
  attempts: AttemptRow[];
  /** The custom_id of the task whose call and answer this one shares, if it does. */
  same_as: string | null;
  /** The request's body; null once it was deleted with its outcome. */
  body: string | null;
  /** The output line, for a final one. */
  line: string | null;
}

type TaskRow = {
  seq: number;
  custom_id: string;
  state: TaskState;
  attempt: number;
  not_before: number;
  claimed_at: number | null;
  upstream: string | null;
  same_as: string | null;
};

/** What happened to a task, by its custom_id, or undefined when there is none. */
export function readHistory(sql: Sql, customId: string): TaskHistory | undefined {
  const [task] = sql
    .exec<TaskRow>(
      `SELECT seq, custom_id, state, attempt, not_before, claimed_at, upstream,
         (SELECT custom_id FROM task AS original WHERE original.seq = task.twin_of) AS same_as
       FROM task WHERE custom_id = ?`,
      customId,
    )
    .toArray();
  if (task === undefined) return undefined;
  const attempts: AttemptRow[] = sql
    .exec<AttemptRow & Record<string, SqlValue>>(
      `SELECT attempt, started_at, ended_at, took_ms, verdict, status_code, error, upstream
       FROM attempt WHERE seq = ? ORDER BY attempt`,
      task.seq,
    )
    .toArray();
  const [outcome] = sql
    .exec<{ line: string; recorded_at: number; took_ms: number | null }>(
      "SELECT line, recorded_at, took_ms FROM outcome WHERE seq = ?",
      task.seq,
    )
    .toArray();
  // The attempt that ended the task, or that runs, is the one without a row of its own.
  const last = attempts.at(-1)?.attempt ?? 0;
  if (task.attempt > last && task.claimed_at !== null && task.state !== "pending") {
    attempts.push({
      attempt: task.attempt,
      started_at: task.claimed_at,
      ended_at: outcome?.recorded_at ?? null,
      took_ms: outcome?.took_ms ?? null,
      verdict: task.state,
      upstream: task.upstream,
      ...answerOf(outcome?.line),
    });
  }
  const [input] = sql
    .exec<{ body: string }>("SELECT body FROM input WHERE seq = ?", task.seq)
    .toArray();
  const body = input?.body ?? null;
  const { seq, custom_id, state, not_before, same_as } = task;
  const line = outcome?.line ?? null;
  return { seq, custom_id, state, not_before, attempts, same_as, body, line };
}

/** Read at a time: outcomes, and about how many bytes of their lines. */
const READ_AT_ONCE = 1_000;
const READ_BYTES = 4 * 1024 * 1024;

/**
 * Writes down the attempts that ended a task without success. They are known by its outcome alone,
 * so do it before that goes.
 */
export function keepLastAttempts(sql: Sql): void {
  let after = -1;
  for (;;) {
    const lines: { seq: number; line: string }[] = [];
    let bytes = 0;
    // A task that was cancelled after an attempt has a row of that already.
    const cursor = sql.exec<{ seq: number; line: string }>(
      `SELECT seq, line FROM outcome JOIN task USING (seq)
       WHERE seq > ? AND ok = 0 AND claimed_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM attempt
         WHERE attempt.seq = task.seq AND attempt.attempt = task.attempt)
       ORDER BY seq LIMIT ?`,
      after,
      READ_AT_ONCE,
    );
    for (const row of cursor) {
      lines.push(row);
      bytes += row.line.length;
      if (bytes >= READ_BYTES) break;
    }
    if (lines.length === 0) return;
    for (const { seq, line } of lines) {
      const { status_code, error } = answerOf(line);
      sql.exec(
        `INSERT OR IGNORE INTO attempt
           (seq, attempt, started_at, ended_at, took_ms, verdict, status_code, error, upstream)
         SELECT seq, attempt, claimed_at, recorded_at, took_ms, 'failed', ?, ?, upstream
         FROM task JOIN outcome USING (seq) WHERE seq = ?`,
        status_code,
        error,
        seq,
      );
      after = seq;
    }
  }
}

/**
 * What an output line says of the call. Read here and not by SQLite, whose JSON functions take no
 * more than a thousand levels: an upstream's answer may have more.
 */
function answerOf(line: string | undefined): Pick<AttemptRow, "status_code" | "error"> {
  if (line === undefined) return { status_code: null, error: null };
  const { response, error } = JSON.parse(line) as {
    response: { status_code: number } | null;
    error: { message: string } | null;
  };
  const status = response?.status_code ?? null;
  const refused = status !== null && status >= 300 ? `The upstream answered ${status}.` : null;
  return { status_code: status, error: error?.message ?? refused };
}
