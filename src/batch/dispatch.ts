import type { Route } from "../config/routes.ts";
import type { Config } from "../config.ts";
import { pointersNeeded } from "../core/lanes.ts";
import { isStreamable } from "../core/stream-request.ts";
import { tokensToReserve } from "../core/tokens.ts";
import { readCallHeaders } from "../wire/call-headers.ts";
import type { BatchRef } from "../wire/messages.ts";
import type { Assignment, ExchangeReply, ExchangeRequest } from "./exchange.ts";
import { Pointers } from "./pointers.ts";
import { Reports } from "./reports.ts";
import { BatchRoutes } from "./routes.ts";
import type { BatchRow } from "./schema.ts";
import type { NeedRow } from "./store/purse.ts";
import type { Store } from "./store/store.ts";
import { type Destination, Ways } from "./ways.ts";
import type { World } from "./world.ts";

/**
 * Bodies handed to one conversation at once, if there is more than one. An RPC carries at most
 * 32 MiB, and fifty conversations may ask at once in an object's 128 MB.
 */
const CLAIM_BYTES = 1024 * 1024;
/** A conversation with nothing to do is kept for at most this long; after that a pointer wakes one. */
const IDLE_MS = 2_000;
/** A pointer takes its time, so it is sent so long before there are calls; what is left is waited for. */
const AHEAD_MS = 1_500;
/** How often a conversation with free lanes asks whether there is something for them. */
const POLL_MS = 500;

/** More tasks than one invocation has lanes need not be counted. */
const MORE_MAX = 1_000;

/**
 * How a batch's tasks get to its consumers and back: exchanges, permits, pointers. Its memory may
 * vanish at every await; what it must not forget is in the Store.
 */
export class Dispatch {
  /** The ways of its calls; the sweep tells their Limiters through them. */
  readonly ways: Ways;
  /** Exchanges held and asks of the Limiter made since this instance began. */
  readonly traffic = { exchanges: 0, asks: 0 };
  readonly #store: Store;
  readonly #world: World;
  readonly #config: Config;
  readonly #pointers: Pointers;
  #blockedUntilMs = 0;
  /** When that was told. */
  #blockedAtMs = 0;
  readonly #routes: BatchRoutes;
  readonly #reports: Reports;
  /** Conversations that take no more tasks and wait for their last calls. They say so each time. */
  readonly #leaving = new Set<string>();
  /** Conversations that wait to hear of free calls, by holder. */
  readonly #listeners = new Map<string, () => void>();
  /** The Limiter called when nobody listened; the next exchange asks. */
  #unheard = false;

  constructor(store: Store, world: World, config: Config) {
    this.#store = store;
    this.#world = world;
    this.#config = config;
    this.#pointers = new Pointers(world);
    this.#routes = new BatchRoutes(store.sql, config.upstreams);
    this.ways = new Ways({
      nowMs: () => world.nowMs(),
      routes: () => this.#routes.of(this.#row()),
      quota: () => this.#row().upstream,
      pool: () => this.#row().pool === 1,
      weight: () => this.#row().priority,
      running: () => store.progress().running,
      runningBy: () => store.tasks.runningBy(),
      costs: (want, meanOutput) => this.#costs(want, meanOutput),
      ready: () => this.#ready(MORE_MAX),
      idle: () => !isActive(this.#row()) || this.#waiting() === 0,
      served: () => store.holders.count() > 0,
      called: (quota) => this.called(quota),
      claim: (holder, startInMs, to) => this.#claim(holder, startInMs, to),
      acquire: (said) => {
        const row = this.#row();
        this.traffic.asks += 1;
        return world.acquire({ ref: refOf(row), model: row.model ?? "", ...said });
      },
      log: (event) => world.log({ ...event, batch: this.#row().batch_id }),
    });
    this.#reports = new Reports(store, world, config, this.ways);
  }

  /** When a pointer that is out is to be taken for lost. */
  lostAtMs(): number | undefined {
    return this.#pointers.lostAtMs();
  }

  /** The Limiter has nothing for this batch before this time, or only for who comes a little early. */
  blockedUntilMs(): number {
    // Of a clock that was ahead it says nothing.
    return this.#world.nowMs() < this.#blockedAtMs ? 0 : this.#blockedUntilMs;
  }

  /**
   * Before this time the batch makes no call and none of its calls ends: it is paused, its tasks
   * wait, or the Limiter has nothing for it. 0 when there is no such time.
   */
  restsUntilMs(): number {
    const row = this.#row();
    const { running } = this.#store.progress();
    if (row.status !== "in_progress" || row.ending !== null || running > 0) return 0;
    if (row.paused_at !== null) return row.expires_at;
    const nowMs = this.#world.nowMs();
    if (this.#store.tasks.ready(1, nowMs) > 0) return this.blockedUntilMs();
    return this.#store.tasks.nextDueMs(nowMs) ?? 0;
  }

  /**
   * Resolves when there may be calls for the batch that it did not get before. A holder listens once
   * at a time.
   */
  listen(holder: string): Promise<void> {
    this.#listeners.get(holder)?.();
    this.#listeners.delete(holder);
    // The call came before anybody listened.
    if (this.#unheard) return Promise.resolve();
    return new Promise((heard) => this.#listeners.set(holder, heard));
  }

  /** A Limiter has calls for the batch: whoever has free lanes is to ask. @param quota whose. */
  called(quota?: string): void {
    this.ways.wake(quota);
    this.#blockedUntilMs = 0;
    const listening = [...this.#listeners.values()];
    this.#listeners.clear();
    for (const heard of listening) heard();
    this.#unheard = listening.length === 0;
    if (this.#unheard) this.wake(this.#world.nowMs());
  }

  /** Takes a conversation's reports and gives it what is next. */
  async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    const store = this.#store;
    if (store.rows.get() === undefined) return NOTHING;
    this.traffic.exchanges += 1;
    if (request.want > 0) this.#unheard = false;
    // What this holder asked before and was never told of is void.
    this.ways.drop(request.holder);
    const nowMs = this.#world.nowMs();
    const isNew = this.#reports.take(request, nowMs);
    if (isNew && !request.invited) this.#pointers.arrived();

    const want = request.leaving ? 0 : request.want;
    const turn =
      want > 0 && isActive(this.#row())
        ? await this.ways.turn(request.holder, want)
        : this.ways.idle;

    const row = this.#row();
    const waitMs = isActive(row) ? this.#waitMs(turn.retryInMs) : null;
    const end =
      turn.tasks.length === 0 &&
      (request.leaving || waitMs === null || (waitMs > IDLE_MS && turn.blockedBy !== "calls")) &&
      store.tasks.heldBy(request.holder) === 0;
    if (end) {
      store.holders.remove(request.holder);
      this.#leaving.delete(request.holder);
      this.#listeners.get(request.holder)?.();
      this.#listeners.delete(request.holder);
      this.#blockedAtMs = this.#world.nowMs();
      const blockedMs = turn.retryInMs === null ? 0 : turn.retryInMs - AHEAD_MS;
      this.#blockedUntilMs = blockedMs > 0 ? this.#blockedAtMs + blockedMs : 0;
      this.wake(this.#world.nowMs());
    }
    if (!end && request.leaving && !this.#leaving.has(request.holder)) {
      // Another one takes its place now, and not when its slowest call is over.
      this.#leaving.add(request.holder);
      this.wake(this.#world.nowMs());
    }
    const settling = this.ways.settle(turn, end);
    if (settling !== undefined) this.#world.background(settling);
    const more = waitMs === null ? 0 : this.#ready(MORE_MAX);
    const { tasks, invite } = turn;
    // Only calls in flight come by a word of the Limiter's; rates and retries come with time.
    const comes = turn.blockedBy === "calls" || (turn.blockedBy === null && more > 0);
    const contended = turn.contended && comes;
    const patienceMs = turn.blockedBy === "rate" && more > 0 ? (waitMs ?? 0) : 0;
    return { endpoint: row.endpoint, tasks, more, waitMs, patienceMs, contended, end, invite };
  }

  /** How long until there may be something for a conversation; null when nothing will come. */
  #waitMs(retryInMs: number | null): number | null {
    const nowMs = this.#world.nowMs();
    if (this.#waiting() === 0) return null;
    if (retryInMs !== null) return retryInMs;
    if (this.#ready(1) > 0) return POLL_MS;
    const dueMs = this.#store.tasks.nextDueMs(nowMs);
    // None is parked, yet none is ready: the batch has as many calls in flight as it allows.
    return dueMs === undefined ? POLL_MS : Math.max(1, dueMs - nowMs);
  }

  /** Tasks that are to be handed out sooner or later: twins are not. */
  #waiting(): number {
    const { pending, twins_pending } = this.#store.progress();
    return pending - twins_pending;
  }

  /** Tasks that may be handed out now, by time and by the batch's own limit, counted up to `cap`. */
  #ready(cap: number): number {
    const row = this.#row();
    if (!isActive(row)) return 0;
    const limit = Math.min(cap, this.#room());
    return limit === 0 ? 0 : this.#store.tasks.ready(limit, this.#world.nowMs());
  }

  /** Calls that may be added by the batch's own limit. */
  #room(): number {
    const { max_concurrency } = this.#row();
    if (max_concurrency === null) return Number.POSITIVE_INFINITY;
    return Math.max(0, max_concurrency - this.#store.progress().running);
  }

  #costs(want: number, meanOutput: number | null): number[] {
    const limit = this.#ready(want);
    const nowMs = this.#world.nowMs();
    const open = this.#store.tasks.next(limit, CLAIM_BYTES, nowMs);
    return open.map((row) => tokensOf(row, meanOutput));
  }

  #claim(
    holder: string,
    startInMs: readonly number[],
    { upstream, meanOutput }: Destination,
  ): Assignment[] {
    const store = this.#store;
    if (!isActive(this.#row())) return [];
    // The batch's own limit may have sunk since the permits were asked for.
    const limit = Math.min(startInMs.length, this.#room());
    const nowMs = this.#world.nowMs();
    try {
      const claimed = store.transaction(() => {
        // A sweep may have taken the holder for gone while it waited for its permits.
        store.holders.seen(holder, nowMs);
        const costOf = (row: NeedRow) => tokensOf(row, meanOutput);
        return store.tasks.claim(limit, holder, CLAIM_BYTES, nowMs, costOf, upstream);
      });
      const row = this.#row();
      const headers = row.call_headers === null ? undefined : readCallHeaders(row.call_headers);
      return claimed.map((task, index) => ({
        ...task,
        upstream,
        headers,
        startInMs: startInMs[index] ?? 0,
      }));
    } catch (error) {
      store.tasks.reset();
      throw error;
    }
  }

  /** Sends pointers for ready work that too few conversations look after. */
  wake(nowMs: number): void {
    const row = this.#row();
    const routes = this.ways.inUse();
    const outstanding = this.#pointers.outstanding(nowMs);
    if (!isActive(row) || routes.length === 0 || nowMs < this.blockedUntilMs()) return;
    const most = routes.reduce((sum, { quota }) => sum + quota.limits.maxConcurrency, 0);
    const target = Math.min(most, row.max_concurrency ?? most);
    const { running } = this.#store.progress();
    const ready = this.#ready(target);
    const count = pointersNeeded({
      ready,
      running,
      target,
      lanes: routes.every((route) => isStreamed(route, row))
        ? this.#config.streamLanes
        : this.#config.lanes,
      conversations: this.#store.holders.count(this.#leaving),
      outstanding,
    });
    if (count === 0) return;
    this.#world.background(this.#pointers.send(refOf(row), count, nowMs));
    this.ways.announce((quota) => {
      this.#world.background(
        this.#world
          .announce(quota, refOf(row), row.priority, ready)
          // Nobody is invited then; the pointers are on their way all the same.
          .catch(() => undefined),
      );
    });
  }

  #row(): BatchRow {
    const row = this.#store.rows.get();
    if (row === undefined) throw new Error("the batch was never opened");
    return row;
  }
}

/** Tokens to reserve of a quota for a task's call. */
function tokensOf(
  { cost, input_tokens, output_tokens }: NeedRow,
  meanOutput: number | null,
): number {
  // Of a task from before these columns only the sum is known.
  if (input_tokens === null) return cost;
  return tokensToReserve({ inputTokens: input_tokens, outputTokens: output_tokens }, meanOutput);
}

/** Whether a batch's calls are streamed: then more of them fit one consumer. */
function isStreamed({ upstream }: Route, { endpoint }: BatchRow): boolean {
  return upstream.streamChat && isStreamable(endpoint);
}

/** Whether a batch hands out tasks. */
function isActive(row: BatchRow): boolean {
  return row.status === "in_progress" && row.ending === null && row.paused_at === null;
}

/** What a conversation with a batch that is not there hears. */
export const NOTHING: ExchangeReply = {
  endpoint: "/v1/chat/completions",
  tasks: [],
  more: 0,
  waitMs: null,
  contended: false,
  end: true,
  invite: null,
};

function refOf(row: BatchRow): BatchRef {
  return { project: row.project, batch_id: row.batch_id };
}
