import type { Config } from "../config.ts";
import { quoted } from "../core/quoted.ts";
import {
  type BatchChange,
  type BatchObject,
  type BatchRetry,
  type BatchStatus,
  windowMs,
} from "../wire/batch.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import { OPEN_WITHIN_MS } from "../wire/messages.ts";
import type { NewTask } from "../wire/request.ts";
import { Alarm } from "./alarm.ts";
import { applyChange, budgetAfter } from "./change.ts";
import { decisionsBetween } from "./decisions.ts";
import { Dispatch } from "./dispatch.ts";
import { erase, erasedForRetry, erasedProblem } from "./erase.ts";
import type { ExchangeReply, ExchangeRequest } from "./exchange.ts";
import { commonModel } from "./ingest.ts";
import { type NewsDetail, type NewsPage, Reader } from "./reader.ts";
import type { BatchRow, DeliveryHistory } from "./schema.ts";
import type { NewBatch } from "./store/batch-row.ts";
import { addTasks } from "./store/intake.ts";
import type { Store } from "./store/store.ts";
import { deleteAtMs, nextSweepMs, sweep } from "./sweep.ts";
import { viewOf } from "./view.ts";
import type { World } from "./world.ts";

/** An opened batch, and its webhook's secret, which is told to nobody but who opened it. */
export interface Opened {
  view: BatchObject;
  webhookSecret: string | null;
}

/** What happened in a batch after a place in the order of recording. */
export interface News extends NewsPage {
  batch: BatchObject;
  /** Whether no call is in flight and none is made for a while, so nothing happens by itself. */
  asleep: boolean;
}

/** A batch that makes no call for this long is asleep for those who listen. */
const ASLEEP_MS = 2_000;

/**
 * What a batch does: its tasks, its outcomes, its end. All of it but the platform, which is World
 * and Store; so a simulator drives this very code. Its memory may vanish at every await: what it
 * must not forget is in the Store.
 */
export class Engine {
  /** What it holds, to be read. */
  readonly reader: Reader;
  readonly #store: Store;
  readonly #world: World;
  readonly #config: Config;
  readonly #dispatch: Dispatch;
  readonly #alarm: Alarm;
  /** The batch as its decisions were last logged. */
  #told: Readonly<BatchRow> | undefined;

  /** @param alarmAtMs when the object's alarm is set for, if it is. */
  constructor(store: Store, world: World, config: Config, alarmAtMs: number | undefined) {
    this.#store = store;
    this.#world = world;
    this.#config = config;
    this.#alarm = new Alarm(world, alarmAtMs);
    this.reader = new Reader(store, () => world.nowMs());
    this.#told = store.rows.get();
    this.#dispatch = new Dispatch(store, world, config);
  }

  /**
   * Opens the batch: with its tasks, and then it is in progress, or with the key of a file, and
   * then it is validating. Opening it twice changes nothing: what was opened first stays.
   *
   * @throws when it was asked for too long ago, and is not open.
   */
  open(batch: NewBatch, tasks: NewTask[] | null): Result<Opened> {
    const store = this.#store;
    const nowMs = this.#world.nowMs();
    if (store.rows.get() === undefined && nowMs - batch.created_at > OPEN_WITHIN_MS) {
      // It would run, and be in no list.
      throw new Error("this batch was asked for so long ago that its project may have given it up");
    }
    store.transaction(() => {
      if (!store.rows.insert(batch) || tasks === null) return;
      const refused = addTasks(store, tasks, this.#config.prices);
      if (refused.length > 0) throw new Error("two of the tasks to open have one custom_id");
      store.rows.begin(commonModel(null, tasks), nowMs);
    });
    this.#tell();
    // The alarm in the same turn makes sure; waking at once makes the first call soon.
    this.#alarm.arm(nowMs + 1);
    this.#dispatch.wake(nowMs);
    const opened = this.view();
    if (!opened.ok) return opened;
    return ok({ view: opened.value, webhookSecret: store.rows.get()?.webhook_secret ?? null });
  }

  /** The batch as clients see it. */
  view(): Result<BatchObject> {
    const row = this.#store.rows.get();
    if (row === undefined) return NOT_OPENED;
    // An alarm set by a clock that was ahead would sleep on; whoever looks wakes it.
    this.#alarm.arm(this.#nextMs());
    return ok(viewOf(row, this.#store.progress()));
  }

  /**
   * Stops handing out tasks. Calls in flight finish, finished work is kept; a file is read to its
   * end, and what is wrong with it still fails the batch.
   */
  cancel(): Result<BatchObject> {
    const row = this.#store.rows.get();
    if (row === undefined) return NOT_OPENED;
    const nowMs = this.#world.nowMs();
    if (this.#store.rows.cancel(nowMs)) {
      this.#tell();
      this.#alarm.arm(nowMs + 1);
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
    this.#tell();
    return this.view();
  }

  /** Goes on after a pause. One that was not paused just goes on. */
  resume(): Result<BatchObject> {
    if (this.#store.rows.get() === undefined) return NOT_OPENED;
    if (this.#store.rows.resume()) this.#alarm.arm(this.#world.nowMs() + 1);
    this.#tell();
    return this.view();
  }

  /** Changes what may be changed while it runs; of a batch that has ended, the metadata alone. */
  change(change: BatchChange): Result<BatchObject> {
    const row = this.#store.rows.get();
    if (row === undefined) return NOT_OPENED;
    const refused = this.#store.transaction(() => applyChange(this.#store, row, change));
    if (refused !== undefined) return refused;
    this.#tell();
    const nowMs = this.#world.nowMs();
    // More may be called now than there are consumers for, or there is less to pay with.
    this.#alarm.arm(nowMs + 1);
    this.#dispatch.wake(nowMs);
    return this.view();
  }

  /**
   * Runs what did not succeed again, in a new window of the same length, with another budget if
   * there is one in `change`.
   */
  retry(change: BatchRetry): Result<BatchObject> {
    const row = this.#store.rows.get();
    if (row === undefined) return NOT_OPENED;
    const nowMs = this.#world.nowMs();
    // The sweep may be deleting it already.
    if (nowMs >= (deleteAtMs(row, this.#config) ?? nowMs + 1)) return NOT_OPENED;
    const { failed, cancelled, expired } = this.#store.progress();
    const unfinished = failed + cancelled + expired > 0 || row.source_read === 0;
    if (ENDED.includes(row.status) && !unfinished) {
      return refuse(
        "invalid_request",
        "Every task of this batch succeeded; there is nothing to retry.",
        "id",
        "nothing_to_retry",
      );
    }
    if (!ENDED.includes(row.status)) {
      return refuse(
        "invalid_request",
        `This batch is ${row.status}; only one that is completed, expired or cancelled can be retried.`,
        "id",
        "batch_not_retryable",
      );
    }
    const erased = erasedForRetry(row);
    if (erased !== undefined) return erased;
    const refused = this.#store.transaction(() => {
      const { budget, problem } = budgetAfter(row, this.#store.progress(), change, "retry");
      if (problem !== undefined) return problem;
      const window = windowMs(row.completion_window) ?? 0;
      if (!this.#store.rows.reopen(nowMs, nowMs + window)) return undefined;
      this.#store.rows.setBudget(budget.max_tokens_total, budget.max_cost);
      this.#store.tasks.rerun(nowMs);
      return undefined;
    });
    if (refused !== undefined) return refused;
    this.#dispatch.ways.forgetKeys();
    this.#tell();
    this.#alarm.arm(nowMs + 1);
    return this.view();
  }

  /** Deletes the batch and all that it holds, once it has ended. Nobody finds it from then on. */
  remove(): Result<null> {
    const row = this.#store.rows.get();
    if (row === undefined) return NOT_OPENED;
    const nowMs = this.#world.nowMs();
    if (!this.#store.rows.remove(nowMs)) {
      return refuse(
        "invalid_request",
        `This batch is ${row.status}; only one that has ended can be deleted. Cancel it first.`,
        "id",
        "batch_not_ended",
      );
    }
    this.#tell();
    // The sweep deletes it here and in the project's index, however often it takes.
    this.#alarm.arm(nowMs + 1);
    return ok(null);
  }

  /** Whether its client deleted it; there is something left of it until the sweep is done. */
  isRemoved(): boolean {
    return (this.#store.rows.get()?.removed_at ?? null) !== null;
  }

  /** Sends a webhook again, from the beginning of its schedule. */
  resend(id: string): Result<DeliveryHistory> {
    const nowMs = this.#world.nowMs();
    const row = this.#store.deliveries.again(id, nowMs);
    if (row === undefined)
      return refuse("not_found", `This batch has no delivery '${quoted(id)}'.`, "id");
    this.#alarm.arm(nowMs + 1);
    return ok(row);
  }

  /** Deletes the outcomes of one of the files of a batch that has ended. Twice is once. */
  erase(kind: "output" | "error"): Result<null> {
    const row = this.#store.rows.get();
    if (row === undefined) return NOT_OPENED;
    if (!ENDED.includes(row.status)) {
      return refuse(
        "invalid_request",
        "This file is being written again: its batch is running what did not succeed. Delete it when the batch has ended.",
        "id",
        "file_in_use",
      );
    }
    erase(this.#store, [kind], this.#world.nowMs());
    return ok(null);
  }

  /**
   * What happened after a place.
   *
   * @param tasks which outcomes to tell: none, what became of them, or their lines too.
   */
  news(after: number, tasks: NewsDetail): Result<News> {
    const row = this.#store.rows.get();
    if (row === undefined) return NOT_OPENED;
    const erased = tasks === "none" ? undefined : erasedProblem(row, "all");
    if (erased !== undefined) return erased;
    const view = this.view();
    if (!view.ok) return view;
    const asleep = this.#dispatch.restsUntilMs() > this.#world.nowMs() + ASLEEP_MS;
    return ok({ batch: view.value, ...this.reader.news(after, tasks), asleep });
  }

  /** See {@link Dispatch.exchange}. */
  async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    const reply = await this.#dispatch.exchange(request);
    this.#tell();
    this.#alarm.arm(this.#nextMs());
    return reply;
  }

  /** See {@link Dispatch.listen}. */
  listen(holder: string): Promise<void> {
    return this.#dispatch.listen(holder);
  }

  /** See {@link Dispatch.called}. */
  wake(quota?: string): void {
    if (this.#store.rows.get() !== undefined) this.#dispatch.called(quota);
  }

  /** Looks after the batch now: for a pointer that ended in the dead-letter queue. */
  poke(): void {
    if (this.#store.rows.get() !== undefined) this.#alarm.arm(this.#world.nowMs() + 1);
  }

  /**
   * The alarm: one pass of the sweep, pointers for work nobody looks after, and the next alarm.
   *
   * @returns "gone" when the batch was deleted; the engine is of no more use then.
   */
  async alarm(): Promise<"gone" | undefined> {
    // Armed before the work: if this instance dies in the middle, the alarm comes again.
    this.#alarm.rang();
    this.#alarm.arm(this.#world.nowMs() + SAFETY_MS);
    const againMs = await sweep(this.#store, this.#world, this.#config, this.#dispatch.ways);
    if (againMs === "gone") return againMs;
    this.#tell();
    this.#dispatch.wake(this.#world.nowMs());
    this.#alarm.reset(againMs ?? this.#nextMs());
    return undefined;
  }

  /** Logs what was decided of the batch since this was last called. */
  #tell(): void {
    const row = this.#store.rows.get();
    if (row === undefined || row === this.#told) return;
    const { traffic } = this.#dispatch;
    const decided = decisionsBetween(this.#told, row, this.#store.progress(), traffic);
    this.#told = row;
    for (const event of decided) this.#world.log(event);
  }

  #nextMs(): number | undefined {
    return nextSweepMs(
      this.#store,
      this.#config,
      this.#dispatch.lostAtMs(),
      this.#dispatch.blockedUntilMs(),
      this.#world.nowMs(),
    );
  }
}

const ENDED: readonly BatchStatus[] = ["completed", "expired", "cancelled"];

/** The alarm comes again after this long if a sweep never ends. */
const SAFETY_MS = 10_000;

const NOT_OPENED = refuse("not_found", "No such batch.", "id");
