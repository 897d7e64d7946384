import { binOf } from "../../core/latency-bins.ts";
import type { Sql } from "../../core/sql.ts";

/** What happened in one step of time. */
export interface Moment {
  /** When the step begins. */
  atMs: number;
  succeeded: number;
  /** Tasks that ended without success after a call. */
  failed: number;
  /** Calls that were answered 429. */
  throttled: number;
  /** Other calls that have to be made again. */
  retried: number;
  /** Calls that ended, by bin of their latency (core/latency-bins.ts). */
  latency: Map<number, number>;
}

/** How far a timeline was read: outcomes by their place, other attempts by their end. */
export interface TimelineCursor {
  place: number;
  endedMs: number;
}

/** What happened after a cursor, and where to go on. */
export interface Timeline {
  moments: Moment[];
  next: TimelineCursor;
  /** Whether there is more already. */
  more: boolean;
}

/** Rows one request looks at. */
const ROWS = 20_000;

/** What happened after a cursor, in steps of time. */
export function readTimeline(
  sql: Sql,
  after: TimelineCursor,
  stepMs: number,
  nowMs: number,
): Timeline {
  const moments = new Map<number, Moment>();
  const at = (ms: number): Moment => {
    const atMs = Math.floor(ms / stepMs) * stepMs;
    const known = moments.get(atMs);
    if (known !== undefined) return known;
    const fresh = {
      ...{ atMs, succeeded: 0, failed: 0, throttled: 0, retried: 0 },
      latency: new Map<number, number>(),
    };
    moments.set(atMs, fresh);
    return fresh;
  };
  const took = (moment: Moment, ms: number | null) => {
    if (ms === null) return;
    const bin = binOf(ms);
    moment.latency.set(bin, (moment.latency.get(bin) ?? 0) + 1);
  };

  const next = { ...after };
  const outcomes = sql
    .exec<{ place: number; ok: number; recorded_at: number; took_ms: number | null }>(
      `SELECT place, ok, recorded_at, took_ms FROM recorded JOIN outcome USING (seq)
       WHERE place > ? ORDER BY place LIMIT ?`,
      after.place,
      ROWS,
    )
    .toArray();
  for (const { place, ok, recorded_at, took_ms } of outcomes) {
    next.place = place;
    // Cancelled and expired tasks were not called for their outcome.
    if (took_ms === null) continue;
    const moment = at(recorded_at);
    if (ok === 1) moment.succeeded += 1;
    else moment.failed += 1;
    took(moment, took_ms);
  }

  // Not those of this very millisecond: more of them may come.
  const attempts = sql
    .exec<{ ended_at: number; verdict: string; took_ms: number | null }>(
      `SELECT ended_at, verdict, took_ms FROM attempt
       WHERE ended_at > ? AND ended_at < ? ORDER BY ended_at LIMIT ?`,
      after.endedMs,
      nowMs,
      ROWS + 1,
    )
    .toArray();
  // A page ends between two milliseconds, unless one of them fills it alone.
  const last = attempts.length > ROWS ? attempts.at(-1)?.ended_at : undefined;
  const whole = attempts.filter(({ ended_at }) => ended_at !== last);
  for (const { ended_at, verdict, took_ms } of whole.length > 0 ? whole : attempts) {
    next.endedMs = ended_at;
    const moment = at(ended_at);
    if (verdict === "throttled") moment.throttled += 1;
    else moment.retried += 1;
    took(moment, took_ms);
  }
  return {
    moments: [...moments.values()].sort((a, b) => a.atMs - b.atMs),
    next,
    more: outcomes.length === ROWS || last !== undefined,
  };
}
