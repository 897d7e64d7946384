import type { AcquireReply, AcquireRequest } from "../limiter/acquire.ts";
import type { BatchRef } from "../wire/messages.ts";
import type { Assignment } from "./exchange.ts";

/** What a conversation gets when it asks for tasks. */
export interface Turn {
  tasks: Assignment[];
  /** When to ask the Limiter again; null when it granted all that was asked. */
  retryInMs: number | null;
  invite: BatchRef | null;
}

/** What happened since the Limiter was last told. */
export type News = Pick<AcquireRequest, "extraTokens" | "throttled" | "answered">;

/** The Batch's side of a turn; see batch.ts. */
export interface Floor {
  /** Calls in flight now. */
  held(): number;
  /** Estimated tokens of the next tasks that may be handed out, at most `want` of them. */
  costs(want: number): number[];
  /** Claims the next tasks for a holder, one for each start. */
  claim(holder: string, startInMs: readonly number[]): Assignment[];
  acquire(said: Omit<AcquireRequest, "ref">): Promise<AcquireReply>;
}

/** The Limiter did not answer; ask again soon. */
const UNREACHABLE_RETRY_MS = 250;

/**
 * Gets permits in bulk: one call to the Limiter at a time, for all conversations that wait. Only
 * so can the calls in flight be told as one true number: each ask says what is held, and nothing
 * is claimed between an ask and its answer but by that answer.
 */
export class Permits {
  readonly #floor: Floor;
  #waiting: { holder: string; want: number; give: (turn: Turn) => void }[] = [];
  #news: News | undefined;
  #asking = false;

  constructor(floor: Floor) {
    this.#floor = floor;
  }

  /** Notes what the next ask must tell. */
  note(news: News): void {
    const before = this.#news;
    this.#news = {
      extraTokens: (before?.extraTokens ?? 0) + news.extraTokens,
      throttled: longest(before?.throttled, news.throttled),
      answered: (before?.answered ?? false) || news.answered,
    };
  }

  /** Up to `want` tasks for a conversation, claimed in its name. Never throws. */
  turn(holder: string, want: number): Promise<Turn> {
    return new Promise((give) => {
      this.#waiting.push({ holder, want, give });
      void this.#ask();
    });
  }

  /** Tells the news without asking for anything. Never throws. */
  async tell(): Promise<void> {
    this.#news ??= NO_NEWS;
    await this.#ask();
  }

  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    let reached = true;
    // News alone is not worth asking on while the Limiter is out of reach: the next turn takes it.
    while (this.#waiting.length > 0 || (reached && this.#news !== undefined)) {
      reached = await this.#askOnce();
    }
    this.#asking = false;
  }

  /** @returns whether the Limiter answered. Never throws. */
  async #askOnce(): Promise<boolean> {
    const waiting = this.#waiting;
    const news = this.#news ?? NO_NEWS;
    this.#waiting = [];
    this.#news = undefined;
    let reply: AcquireReply | undefined;
    try {
      const costs = this.#floor.costs(waiting.reduce((sum, { want }) => sum + want, 0));
      reply = await this.#floor.acquire({ held: this.#floor.held(), costs, ...news });
    } catch {
      // What was granted and not heard of is corrected by the next ask's absolute number.
      this.note(news);
    }
    let starts = reply?.startInMs ?? [];
    const retryInMs = reply === undefined ? UNREACHABLE_RETRY_MS : reply.retryInMs;
    for (const { holder, want, give } of waiting) {
      const tasks = this.#claim(holder, starts.slice(0, want));
      starts = starts.slice(tasks.length);
      give({
        tasks,
        retryInMs,
        invite: give === waiting[0]?.give ? (reply?.invite ?? null) : null,
      });
    }
    return reply !== undefined;
  }

  #claim(holder: string, startInMs: readonly number[]): Assignment[] {
    if (startInMs.length === 0) return [];
    try {
      return this.#floor.claim(holder, startInMs);
    } catch (error) {
      // The transaction took nothing; who waits must be answered all the same.
      console.error(JSON.stringify({ event: "claim_failed", error: String(error) }));
      return [];
    }
  }
}

const NO_NEWS: News = { extraTokens: 0, throttled: undefined, answered: false };

function longest(a: News["throttled"], b: News["throttled"]): News["throttled"] {
  if (a === undefined || b === undefined) return a ?? b;
  if (a.afterMs === undefined || b.afterMs === undefined)
    return { afterMs: a.afterMs ?? b.afterMs };
  return { afterMs: Math.max(a.afterMs, b.afterMs) };
}
