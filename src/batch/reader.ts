import { quoted } from "../core/quoted.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import { erasedProblem } from "./erase.ts";
import type { DeliveryHistory } from "./schema.ts";
import { readHistory, type TaskHistory } from "./store/history.ts";
import { lastPlace, type NewsRow, readNews } from "./store/news.ts";
import { type OutcomeKind, type OutcomeRow, readOutcomes, seqOf } from "./store/outcomes.ts";
import type { Store } from "./store/store.ts";
import { listTasks, type TaskPage, type TaskQuery } from "./store/task-list.ts";
import { readTimeline, type Timeline, type TimelineCursor } from "./store/timeline.ts";

/** A page of outcomes in input order, and where the next one starts; null at the end. */
export interface ResultsPage {
  rows: OutcomeRow[];
  nextAfter: number | null;
}

/** What was recorded after a place in the order of recording. */
export interface NewsPage {
  rows: NewsRow[];
  /** Whether there is more behind the last row. */
  more: boolean;
  /** The last place there is; the end's, once the batch has ended. */
  last: number;
}

/** Which outcomes news tell: none, what became of them, or their lines too. */
export type NewsDetail = "none" | "state" | "result";

/** Outcomes in one page of news, and their lines, when these are asked for. */
const NEWS_ROWS = 1_000;
const NEWS_BYTES = 1024 * 1024;

/** Lines in one page of results: an RPC carries at most 32 MiB. */
const PAGE_BYTES = 4 * 1024 * 1024;

/** What a batch holds, a page at a time. Changes nothing. */
export class Reader {
  readonly #store: Store;
  readonly #nowMs: () => number;

  constructor(store: Store, nowMs: () => number) {
    this.#store = store;
    this.#nowMs = nowMs;
  }

  /** What happened to a task. */
  task(customId: string): Result<TaskHistory> {
    const found = readHistory(this.#store.sql, customId);
    if (found !== undefined) return ok(found);
    return refuse("not_found", `This batch has no task '${quoted(customId)}'.`, "custom_id");
  }

  /** A page of tasks. */
  tasks(query: TaskQuery): TaskPage {
    return listTasks(this.#store.sql, query);
  }

  /** What happened after a cursor, in steps of time. */
  timeline(after: TimelineCursor, stepMs: number): Timeline {
    return readTimeline(this.#store.sql, after, stepMs, this.#nowMs());
  }

  /** The webhooks of this batch, sent or to be sent. */
  deliveries(): DeliveryHistory[] {
    return this.#store.deliveries.all();
  }

  /** A page of outcomes after a seq, or of those after the task with a custom_id. */
  results(
    kind: OutcomeKind,
    after: number | { customId: string },
    limit: number,
  ): Result<ResultsPage> {
    const { sql, rows: batch } = this.#store;
    const row = batch.get();
    const erased = row === undefined ? undefined : erasedProblem(row, kind);
    if (erased !== undefined) return erased;
    const afterSeq = typeof after === "number" ? after : seqOf(sql, after.customId);
    if (afterSeq === undefined) {
      return refuse("invalid_request", "No task of this batch has that task_id.", "after");
    }
    const rows = readOutcomes(sql, kind, afterSeq, limit, PAGE_BYTES);
    const last = rows.at(-1)?.seq;
    const more = last !== undefined && readOutcomes(sql, kind, last, 1, 1).length > 0;
    return ok({ rows, nextAfter: more ? last : null });
  }

  /** The last place in the order of recording. */
  lastPlace(): number {
    return lastPlace(this.#store.sql);
  }

  /** A page of what was recorded after a place. */
  news(after: number, tasks: NewsDetail): NewsPage {
    const { sql } = this.#store;
    const lines = tasks === "result" ? { maxBytes: NEWS_BYTES } : undefined;
    const rows = tasks === "none" ? [] : readNews(sql, after, NEWS_ROWS, lines);
    const told = rows.at(-1)?.place;
    const more = told !== undefined && readNews(sql, told, 1, undefined).length > 0;
    return { rows, more, last: this.lastPlace() };
  }
}
