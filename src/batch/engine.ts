import type { Config } from "../config.ts";
import { pointersNeeded } from "../core/lanes.ts";
import { type BatchObject, type BatchStatus, windowMs } from "../wire/batch.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import type { BatchRef } from "../wire/messages.ts";
import type { NewTask } from "../wire/request.ts";
import type { Assignment, ExchangeReply, ExchangeRequest, Report } from "./exchange.ts";
import { commonModel } from "./ingest.ts";
import { Permits } from "./permits.ts";
import { Pointers } from "./pointers.ts";
import type { BatchRow, DeliveryRow } from "./schema.ts";
import type { NewBatch } from "./store/batch-row.ts";
import { readHistory, type TaskHistory } from "./store/history.ts";
import { addTasks } from "./store/intake.ts";
import { type OutcomeKind, type OutcomeRow, readOutcomes, seqOf } from "./store/outcomes.ts";
import { type Recorded, record } from "./store/record.ts";
import type { Store } from "./store/store.ts";
import { deleteAtMs, nextSweepMs, sweep } from "./sweep.ts";
import { viewOf } from "./view.ts";
import type { World } from "./world.ts";

/** A page of outcomes in input order, and where the next one starts; null at the end. */
export interface ResultsPage {
  rows: OutcomeRow[];
  nextAfter: number | null;
}

/** Bodies handed to one conversation at once: an RPC carries at most 32 MiB. */
const CLAIM_BYTES = 8 * 1024 * 1024;
/** Lines in one page of results, likewise. */
const PAGE_BYTES = 4 * 1024 * 1024;
/** A conversation with nothing to do is kept for at most this long; after that a pointer wakes one. */
const IDLE_MS = 2_000;
/** How often a conversation with free lanes asks whether there is something for them. */
const POLL_MS = 500;

/**
 * What a batch does: its tasks, its outcomes, its end. All of it but the platform, which is World
 * and Store; so a simulator drives this very code. Its memory may vanish at every await: what it
 * must not forget is in the Store.
 */
export class Engine {
  readonly #store: Store;
  readonly #world: World;
  readonly #config: Config;
  readonly #permits: Permits;
  readonly #pointers: Pointers;
  /** When the alarm is set for, as far as this instance knows. */
  #alarmAtMs: number | undefined;
  /** The Limiter has nothing for this batch before this time. */
  #blockedUntilMs = 0;

  /** @param alarmAtMs when the object's alarm is set for, if it is. */
  constructor(store: Store, world: World, config: Config, alarmAtMs: number | undefined) {
    this.#store = store;
    this.#world = world;
    this.#config = config;
    this.#alarmAtMs = alarmAtMs;
    this.#pointers = new Pointers(world);
    this.#permits = new Permits({
      held: () => store.progress().running,
      costs: (want) => this.#costs(want),
      ready: () => this.#ready(1) > 0,
      claim: (holder, startInMs) => this.#claim(holder, startInMs),
      acquire: (said) => {
        const row = this.#row();
        return world.acquire(row.upstream, { ref: refOf(row), ...said });
      },
    });
  }

  /**
   * Opens the batch: with its tasks, and then it is in progress, or with the key of a file, and
   * then it is validating. Opening it twice changes nothing.
   */
  open(batch: NewBatch, tasks: NewTask[] | null): Result<BatchObject> {
    const store = this.#store;
    const nowMs = this.#world.nowMs();
    store.transaction(() => {
      if (!store.rows.insert(batch) || tasks === null) return;
      const refused = addTasks(store.sql, tasks);
      if (refused.length > 0) throw new Error("two of the tasks to open have one custom_id");
      store.rows.begin(commonModel(null, tasks), nowMs);
    });
    // The alarm in the same turn makes sure; waking at once makes the first call soon.
    this.#arm(nowMs + 1);
    this.#wake(nowMs);
    return this.view();
  }

  /** The batch as clients see it. */
  view(): Result<BatchObject> {
    const row = this.#store.rows.get();
    if (row === undefined) return NOT_OPENED;
    return ok(viewOf(row, this.#store.progress()));
  }

  /** Stops handing out tasks. Calls in flight finish, finished work is kept. */
  cancel(): Result<BatchObject> {
    const row = this.#store.rows.get();
    if (row === undefined) return NOT_OPENED;
    const nowMs = this.#world.nowMs();
    if (this.#store.rows.cancel(nowMs)) {
      this.#arm(nowMs + 1);
    } else if (row.status !== "cancelling" && row.status !== "cancelled") {
      return refuse(
        "invalid_request",
        `This batch is ${row.status}; only one that is validating or in_progress can be cancelled.`,
        "id",
        "batch_not_cancellable",
      );
    }
    return this.view();
  }

  /** Hands out nothing until it is resumed. Calls in flight finish. Twice is once. */
  pause(): Result<BatchObject> {
    const row = this.#store.rows.get();
    if (row === undefined) return NOT_OPENED;
    if (!this.#store.rows.pause(this.#world.nowMs()) && row.paused_at === null) {
      return refuse(
        "invalid_request",
        `This batch is ${row.status}; only one that is validating or in_progress can be paused.`,
        "id",
        "batch_not_pausable",
      );
    }
    return this.view();
  }

  /** Goes on after a pause. One that was not paused just goes on. */
  resume(): Result<BatchObject> {
    if (this.#store.rows.get() === undefined) return NOT_OPENED;
    if (this.#store.rows.resume()) this.#arm(this.#world.nowMs() + 1);
    return this.view();
  }

  /** Runs what did not succeed again, in a new window of the same length. */
  retry(): Result<BatchObject> {
    const row = this.#store.rows.get();
    if (row === undefined) return NOT_OPENED;
    const nowMs = this.#world.nowMs();
    // The sweep may be deleting it already.
    if (nowMs >= (deleteAtMs(row, this.#config) ?? nowMs + 1)) return NOT_OPENED;
    const { failed, cancelled, expired } = this.#store.progress();
    if (ENDED.includes(row.status) && failed + cancelled + expired === 0) {
      return refuse(
        "invalid_request",
        "Every task of this batch succeeded; there is nothing to retry.",
        "id",
        "nothing_to_retry",
      );
    }
    const reopened = this.#store.transaction(() => {
      const window = windowMs(row.completion_window) ?? 0;
      if (!this.#store.rows.reopen(nowMs, nowMs + window)) return false;
      this.#store.tasks.rerun(nowMs);
      return true;
    });
    if (!reopened) {
      return refuse(
        "invalid_request",
        `This batch is ${row.status}; only one that is completed, expired or cancelled can be retried.`,
        "id",
        "batch_not_retryable",
      );
    }
    this.#arm(nowMs + 1);
    return this.view();
  }

  /** What happened to a task. */
  task(customId: string): Result<TaskHistory> {
    const found = readHistory(this.#store.sql, customId);
    if (found !== undefined) return ok(found);
    return refuse("not_found", `This batch has no task '${customId}'.`, "custom_id");
  }

  /** The webhooks of this batch, sent or to be sent. */
  deliveries(): DeliveryRow[] {
    return this.#store.deliveries.all();
  }

  /** Sends a webhook again, from the beginning of its schedule. */
  resend(id: string): Result<DeliveryRow> {
    const nowMs = this.#world.nowMs();
    const row = this.#store.deliveries.again(id, nowMs);
    if (row === undefined) return refuse("not_found", `This batch has no delivery '${id}'.`, "id");
    this.#arm(nowMs + 1);
    return ok(row);
  }

  /** A page of outcomes after a seq, or of those after the task with a custom_id. */
  results(
    kind: OutcomeKind,
    after: number | { customId: string },
    limit: number,
  ): Result<ResultsPage> {
    const { sql } = this.#store;
    const afterSeq = typeof after === "number" ? after : seqOf(sql, after.customId);
    if (afterSeq === undefined) {
      return refuse("invalid_request", "No task of this batch has that task_id.", "after");
    }
    const rows = readOutcomes(sql, kind, afterSeq, limit, PAGE_BYTES);
    const last = rows.at(-1)?.seq;
    const more = last !== undefined && readOutcomes(sql, kind, last, 1, 1).length > 0;
    return ok({ rows, nextAfter: more ? last : null });
  }

  /** Takes a conversation's reports and gives it what is next. */
  async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    const store = this.#store;
    if (store.rows.get() === undefined) return NOTHING;
    // What this holder asked before and was never told of is void.
    this.#permits.drop(request.holder);
    const nowMs = this.#world.nowMs();
    this.#take(request, nowMs);

    const want = request.leaving ? 0 : request.want;
    const turn =
      want > 0 && isActive(this.#row())
        ? await this.#permits.turn(request.holder, want)
        : { tasks: [], retryInMs: null, invite: null };
    if (turn.tasks.length === 0 && this.#permits.owes()) {
      this.#world.background(this.#permits.tell());
    }

    const row = this.#row();
    const waitMs = isActive(row) ? this.#waitMs(turn.retryInMs) : null;
    const end =
      turn.tasks.length === 0 &&
      (request.leaving || waitMs === null || waitMs > IDLE_MS) &&
      store.tasks.heldBy(request.holder) === 0;
    if (end) {
      store.holders.remove(request.holder);
      this.#blockedUntilMs = turn.retryInMs === null ? 0 : this.#world.nowMs() + turn.retryInMs;
      this.#wake(this.#world.nowMs());
    }
    this.#arm(this.#nextMs());
    return { endpoint: row.endpoint, tasks: turn.tasks, waitMs, end, invite: turn.invite };
  }

  /** Looks after the batch now: for a pointer that ended in the dead-letter queue. */
  poke(): void {
    if (this.#store.rows.get() !== undefined) this.#arm(this.#world.nowMs() + 1);
  }

  /**
   * The alarm: one pass of the sweep, pointers for work nobody looks after, and the next alarm.
   *
   * @returns "gone" when the batch was deleted; the engine is of no more use then.
   */
  async alarm(): Promise<"gone" | undefined> {
    // Armed before the work: if this instance dies in the middle, the alarm comes again.
    this.#alarmAtMs = undefined;
    this.#arm(this.#world.nowMs() + SAFETY_MS);
    const againMs = await sweep(this.#store, this.#world, this.#config, this.#permits);
    if (againMs === "gone") return againMs;
    this.#wake(this.#world.nowMs());
    this.#alarmAtMs = undefined;
    const next = againMs ?? this.#nextMs();
    if (next === undefined) this.#world.deleteAlarm();
    else this.#arm(next);
    return undefined;
  }

  #nextMs(): number | undefined {
    return nextSweepMs(
      this.#store,
      this.#config,
      this.#pointers.lostAtMs(),
      this.#blockedUntilMs,
      this.#world.nowMs(),
    );
  }

  /** Records what a conversation reports, and takes back what it never heard of. */
  #take(request: ExchangeRequest, nowMs: number): void {
    const store = this.#store;
    const isNew = store.transaction(() => {
      const first = store.holders.seen(request.holder, nowMs);
      for (const report of request.reports) this.#record(report, nowMs);
      if (store.tasks.heldBy(request.holder) !== request.holding.length) {
        store.tasks.requeue(request.holder, request.holding, nowMs);
      }
      return first;
    });
    if (isNew && !request.invited) this.#pointers.arrived();
  }

  /** Records one report. One that storage refuses ends its task, and harms no other. */
  #record(report: Report, nowMs: number): void {
    const { sql, rows } = this.#store;
    const { batch_id } = this.#row();
    const { retry } = this.#config;
    const random = this.#world.random();
    const write = (said: Report) =>
      this.#store.transaction(() => record(sql, said, batch_id, retry, nowMs, random));
    let recorded: Recorded;
    try {
      recorded = write(report);
    } catch (error) {
      const { seq, attempt, tookMs } = report;
      this.#world.log({ event: "report_refused", batch: batch_id, seq, error: String(error) });
      const message = "The upstream's answer could not be stored.";
      recorded = write({
        seq,
        attempt,
        tookMs,
        verdict: { kind: "failed" },
        result: { kind: "unanswered", code: "invalid_response", message },
      });
    }
    if (recorded.unauthorized >= UNAUTHORIZED_LIMIT) rows.stop("refused");
    const { verdict, extraTokens } = recorded;
    if (verdict === undefined) return;
    this.#permits.note({
      extraTokens,
      throttled: verdict.kind === "throttled" ? { afterMs: verdict.afterMs } : undefined,
      answered: verdict.kind === "succeeded",
    });
  }

  /** How long until there may be something for a conversation; null when nothing will come. */
  #waitMs(retryInMs: number | null): number | null {
    const nowMs = this.#world.nowMs();
    const { pending } = this.#store.progress();
    if (pending === 0) return null;
    if (retryInMs !== null) return retryInMs;
    if (this.#ready(1) > 0) return POLL_MS;
    const dueMs = this.#store.tasks.nextDueMs(nowMs);
    // None is parked, yet none is ready: the batch has as many calls in flight as it allows.
    return dueMs === undefined ? POLL_MS : Math.max(1, dueMs - nowMs);
  }

  /** Tasks that may be handed out now, by time and by the batch's own limit, counted up to `cap`. */
  #ready(cap: number): number {
    const row = this.#row();
    if (!isActive(row)) return 0;
    const { total, running } = this.#store.progress();
    const room = (row.max_concurrency ?? Number.POSITIVE_INFINITY) - running;
    const limit = Math.max(0, Math.min(cap, room));
    return limit === 0 ? 0 : this.#store.tasks.ready(total, limit, this.#world.nowMs());
  }

  #costs(want: number): number[] {
    const limit = this.#ready(want);
    const nowMs = this.#world.nowMs();
    return this.#store.tasks.next(limit, CLAIM_BYTES, nowMs).map(({ cost }) => cost);
  }

  #claim(holder: string, startInMs: readonly number[]): Assignment[] {
    const store = this.#store;
    if (!isActive(this.#row())) return [];
    const nowMs = this.#world.nowMs();
    try {
      const claimed = store.transaction(() => {
        // A sweep may have taken the holder for gone while it waited for its permits.
        store.holders.seen(holder, nowMs);
        return store.tasks.claim(startInMs.length, holder, CLAIM_BYTES, nowMs);
      });
      return claimed.map((task, index) => ({ ...task, startInMs: startInMs[index] ?? 0 }));
    } catch (error) {
      store.tasks.reset();
      throw error;
    }
  }

  /** Sends pointers for ready work that too few conversations look after. */
  #wake(nowMs: number): void {
    const row = this.#row();
    const limits = this.#config.upstream?.limits;
    const outstanding = this.#pointers.outstanding(nowMs);
    if (!isActive(row) || limits === undefined || nowMs < this.#blockedUntilMs) return;
    const target = Math.min(limits.maxConcurrency, row.max_concurrency ?? limits.maxConcurrency);
    const { running } = this.#store.progress();
    const ready = this.#ready(target);
    const count = pointersNeeded({
      ready,
      running,
      target,
      lanes: this.#config.lanes,
      conversations: this.#store.holders.count(),
      outstanding,
    });
    if (count === 0) return;
    this.#world.background(this.#pointers.send(refOf(row), count, nowMs));
    this.#world.background(
      this.#world
        .announce(row.upstream, refOf(row), ready)
        // Nobody is invited then; the pointers are on their way all the same.
        .catch(() => undefined),
    );
  }

  /** Sets the alarm, unless it is set for an earlier time that is still to come. */
  #arm(atMs: number | undefined): void {
    if (atMs === undefined) return;
    const atLeast = Math.max(atMs, this.#world.nowMs() + 1);
    if (this.#alarmAtMs !== undefined && this.#alarmAtMs <= atLeast) {
      if (this.#alarmAtMs > this.#world.nowMs()) return;
    }
    this.#alarmAtMs = atLeast;
    this.#world.setAlarm(atLeast);
  }

  #row(): BatchRow {
    const row = this.#store.rows.get();
    if (row === undefined) throw new Error("the batch was never opened");
    return row;
  }
}

/** Whether a batch hands out tasks. */
function isActive(row: BatchRow): boolean {
  return row.status === "in_progress" && row.ending === null && row.paused_at === null;
}

const ENDED: readonly BatchStatus[] = ["completed", "expired", "cancelled"];

/** After this many 401s without a success between them the key is taken for bad. */
const UNAUTHORIZED_LIMIT = 5;

/** The alarm comes again after this long if a sweep never ends. */
const SAFETY_MS = 10_000;

const NOT_OPENED = refuse("not_found", "No such batch.", "id");

export const NOTHING: ExchangeReply = {
  endpoint: "/v1/chat/completions",
  tasks: [],
  waitMs: null,
  end: true,
  invite: null,
};

function refOf(row: BatchRow): BatchRef {
  return { project: row.project, batch_id: row.batch_id };
}
