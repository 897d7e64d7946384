import { DurableObject } from "cloudflare:workers";
import { SQLSchemaMigrations } from "durable-utils/sql-migrations";
import { type Config, readConfig } from "../config.ts";
import { pointersNeeded } from "../core/lanes.ts";
import { limiterStub } from "../stubs.ts";
import type { BatchObject } from "../wire/batch.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import type { BatchRef } from "../wire/messages.ts";
import type { NewTask } from "../wire/request.ts";
import type { Assignment, ExchangeReply, ExchangeRequest } from "./exchange.ts";
import { commonModel } from "./ingest.ts";
import { Permits } from "./permits.ts";
import { Pointers } from "./pointers.ts";
import { type BatchRow, migrations } from "./schema.ts";
import type { NewBatch } from "./store/batch-row.ts";
import { addTasks } from "./store/intake.ts";
import { type OutcomeKind, type OutcomeRow, readOutcomes, seqOf } from "./store/outcomes.ts";
import { isOpened, Store } from "./store/store.ts";
import { nextSweepMs, sweep } from "./sweep.ts";
import { viewOf } from "./view.ts";

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
 * One batch: its tasks, its outcomes, its end. The truth about them is in this object's SQLite;
 * queue messages only wake consumers, which come here and ask.
 */
export class Batch extends DurableObject<Env> {
  readonly #config: Config;
  readonly #permits: Permits;
  readonly #pointers: Pointers;
  #store: Store | undefined;
  /** When the alarm is set for, as far as this instance knows. */
  #alarmAtMs: number | undefined;
  /** The Limiter has nothing for this batch before this time. */
  #blockedUntilMs = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#config = readConfig(env);
    this.#pointers = new Pointers(env.TASKS);
    this.#permits = new Permits({
      held: () => this.#opened().progress().running,
      costs: (want) => this.#costs(want),
      claim: (holder, startInMs) => this.#claim(holder, startInMs),
      acquire: (said) => {
        const row = this.#row();
        return limiterStub(env, row.upstream).acquire({ ref: refOf(row), ...said });
      },
    });
    if (isOpened(ctx.storage.sql)) ctx.blockConcurrencyWhile(() => this.#migrate());
  }

  /**
   * Opens the batch: with its tasks, and then it is in progress, or with the key of a file, and
   * then it is validating. Opening it twice changes nothing.
   */
  async open(batch: NewBatch, tasks: NewTask[] | null): Promise<Result<BatchObject>> {
    await this.#migrate();
    const store = this.#opened();
    const nowMs = Date.now();
    store.transaction(() => {
      if (!store.rows.insert(batch) || tasks === null) return;
      addTasks(store.sql, tasks);
      store.rows.begin(commonModel(null, tasks), nowMs);
    });
    this.#arm(nowMs + 1);
    return this.view();
  }

  /** The batch as clients see it. */
  view(): Result<BatchObject> {
    const row = this.#store?.rows.get();
    if (row === undefined || this.#store === undefined) return NOT_OPENED;
    return ok(viewOf(row, this.#store.progress()));
  }

  /** Stops handing out tasks. Calls in flight finish, finished work is kept. */
  cancel(): Result<BatchObject> {
    const row = this.#store?.rows.get();
    if (row === undefined) return NOT_OPENED;
    const nowMs = Date.now();
    if (this.#opened().rows.cancel(nowMs)) {
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

  /** A page of outcomes after a seq, or of those after the task with a custom_id. */
  results(
    kind: OutcomeKind,
    after: number | { customId: string },
    limit: number,
  ): Result<ResultsPage> {
    if (this.#store === undefined) return NOT_OPENED;
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
    const row = store?.rows.get();
    if (store === undefined || row === undefined) return NOTHING;
    const nowMs = Date.now();
    this.#take(store, row, request, nowMs);

    const active = row.status === "in_progress" && row.ending === null;
    const want = active && !request.leaving ? request.want : 0;
    const turn =
      want > 0
        ? await this.#permits.turn(request.holder, want)
        : { tasks: [], retryInMs: null, invite: null };
    if (want === 0 && request.reports.length > 0) this.ctx.waitUntil(this.#permits.tell());

    const waitMs = active ? this.#waitMs(store, turn.retryInMs, nowMs) : null;
    const end =
      turn.tasks.length === 0 &&
      (request.leaving || waitMs === null || waitMs > IDLE_MS) &&
      store.tasks.heldBy(request.holder) === 0;
    if (end) {
      store.holders.remove(request.holder);
      this.#blockedUntilMs = turn.retryInMs === null ? 0 : nowMs + turn.retryInMs;
      this.#wake(nowMs);
    }
    this.#arm(nextSweepMs(store, this.#config, this.#pointers.lostAtMs(), this.#blockedUntilMs));
    return { endpoint: row.endpoint, tasks: turn.tasks, waitMs, end, invite: turn.invite };
  }

  /** Looks after the batch now: for a pointer that ended in the dead-letter queue. */
  async poke(): Promise<void> {
    if (this.#store?.rows.get() !== undefined) this.#arm(Date.now() + 1);
  }

  override async alarm(): Promise<void> {
    const store = this.#store;
    if (store === undefined) return;
    // Armed before the work: if this instance dies in the middle, the alarm comes again.
    this.#alarmAtMs = undefined;
    this.#arm(Date.now() + SAFETY_MS);
    const again = await sweep(store, this.env, this.#config, this.#permits);
    const nowMs = Date.now();
    this.#wake(nowMs);
    this.#alarmAtMs = undefined;
    const next =
      again ?? nextSweepMs(store, this.#config, this.#pointers.lostAtMs(), this.#blockedUntilMs);
    if (next === undefined) await this.ctx.storage.deleteAlarm();
    else this.#arm(next);
  }

  /** Records what a conversation reports. */
  #take(store: Store, row: BatchRow, request: ExchangeRequest, nowMs: number): void {
    store.transaction(() => {
      if (store.holders.seen(request.holder, nowMs)) this.#pointers.arrived();
      if (request.holding) store.tasks.requeue(request.holder, request.holding, nowMs);
      const { reports } = request;
      if (reports.length === 0) return;
      const { extraTokens } = store.tasks.record(
        reports,
        row.batch_id,
        this.#config.retry,
        nowMs,
        Math.random,
      );
      const throttled = reports.flatMap(({ verdict }) =>
        verdict.kind === "throttled" ? [verdict.afterMs ?? 0] : [],
      );
      const longestMs = Math.max(...throttled);
      this.#permits.note({
        extraTokens,
        throttled: throttled.length === 0 ? undefined : longestMs > 0 ? { afterMs: longestMs } : {},
        answered: reports.some(({ verdict }) => verdict.kind === "succeeded"),
      });
    });
  }

  /** How long until there may be something for a conversation; null when nothing will come. */
  #waitMs(store: Store, retryInMs: number | null, nowMs: number): number | null {
    const { pending } = store.progress();
    if (pending === 0) return null;
    if (retryInMs !== null) return retryInMs;
    if (store.tasks.ready(pending, nowMs) > 0) return POLL_MS;
    return Math.max(1, (store.tasks.nextDueMs(nowMs) ?? nowMs) - nowMs);
  }

  #costs(want: number): number[] {
    const store = this.#opened();
    const row = this.#row();
    if (row.status !== "in_progress" || row.ending !== null) return [];
    const room = (row.max_concurrency ?? Number.POSITIVE_INFINITY) - store.progress().running;
    const limit = Math.max(0, Math.min(want, room));
    return store.tasks.next(limit, Date.now()).map(({ cost }) => cost);
  }

  #claim(holder: string, startInMs: readonly number[]): Assignment[] {
    const store = this.#opened();
    const row = this.#row();
    if (row.status !== "in_progress" || row.ending !== null) return [];
    const nowMs = Date.now();
    const claimed = store.transaction(() => {
      // A sweep may have taken the holder for gone while it waited for its permits.
      store.holders.seen(holder, nowMs);
      return store.tasks.claim(startInMs.length, holder, CLAIM_BYTES, nowMs);
    });
    return claimed.map((task, index) => ({ ...task, startInMs: startInMs[index] ?? 0 }));
  }

  /** Sends pointers for ready work that too few conversations look after. */
  #wake(nowMs: number): void {
    const store = this.#opened();
    const row = this.#row();
    const limits = this.#config.upstream?.limits;
    if (row.status !== "in_progress" || row.ending !== null || limits === undefined) return;
    if (nowMs < this.#blockedUntilMs) return;
    const { pending, running } = store.progress();
    const ready = store.tasks.ready(pending, nowMs);
    const count = pointersNeeded({
      ready,
      running,
      target: Math.min(limits.maxConcurrency, row.max_concurrency ?? limits.maxConcurrency),
      lanes: this.#config.lanes,
      conversations: store.holders.count(),
      outstanding: this.#pointers.outstanding(nowMs),
    });
    if (count === 0) return;
    this.ctx.waitUntil(this.#pointers.send(refOf(row), count, nowMs));
    this.ctx.waitUntil(
      limiterStub(this.env, row.upstream)
        .announce(refOf(row), ready)
        // Nobody is invited then; the pointers are on their way all the same.
        .catch(() => undefined),
    );
  }

  /** Sets the alarm, unless it is set for an earlier time that is still to come. */
  #arm(atMs: number | undefined): void {
    if (atMs === undefined) return;
    const atLeast = Math.max(atMs, Date.now() + 1);
    if (this.#alarmAtMs !== undefined && this.#alarmAtMs <= atLeast) {
      if (this.#alarmAtMs > Date.now()) return;
    }
    this.#alarmAtMs = atLeast;
    // Not awaited: it commits together with the writes of this turn.
    void this.ctx.storage.setAlarm(atLeast);
  }

  async #migrate(): Promise<void> {
    if (this.#store !== undefined) return;
    const doStorage = this.ctx.storage;
    await new SQLSchemaMigrations({ doStorage, migrations }).runAll();
    this.#store = new Store(doStorage);
    this.#alarmAtMs = (await doStorage.getAlarm()) ?? undefined;
  }

  #opened(): Store {
    if (this.#store === undefined) throw new Error("the batch was never opened");
    return this.#store;
  }

  #row(): BatchRow {
    const row = this.#opened().rows.get();
    if (row === undefined) throw new Error("the batch was never opened");
    return row;
  }
}

/** The alarm comes again after this long if a sweep never ends. */
const SAFETY_MS = 10_000;

const NOT_OPENED = refuse("not_found", "No such batch.", "id");

const NOTHING: ExchangeReply = {
  endpoint: "/v1/chat/completions",
  tasks: [],
  waitMs: null,
  end: true,
  invite: null,
};

function refOf(row: BatchRow): BatchRef {
  return { project: row.project, batch_id: row.batch_id };
}
