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
    this.#news ??= { extraTokens: 0, throttled: undefined, answered: false };
    await this.#ask();
  }

  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    while (this.#waiting.length > 0 || this.#news !== undefined) {
      const waiting = this.#waiting;
      const news = this.#news ?? { extraTokens: 0, throttled: undefined, answered: false };
      this.#waiting = [];
      this.#news = undefined;
      const want = waiting.reduce((sum, waiter) => sum + waiter.want, 0);
      let reply: AcquireReply;
      try {
        const costs = this.#floor.costs(want);
        reply = await this.#floor.acquire({ held: this.#floor.held(), costs, ...news });
      } catch {
        // What was granted and not heard of is corrected by the next ask's absolute number.
        reply = { startInMs: [], retryInMs: UNREACHABLE_RETRY_MS, invite: null };
      }
      let used = 0;
      for (const waiter of waiting) {
        const starts = reply.startInMs.slice(used, used + waiter.want);
        const tasks = starts.length > 0 ? this.#floor.claim(waiter.holder, starts) : [];
        used += tasks.length;
        const invite = waiter === waiting[0] ? reply.invite : null;
        waiter.give({ tasks, retryInMs: reply.retryInMs, invite });
      }
    }
    this.#asking = false;
  }
}

function longest(a: News["throttled"], b: News["throttled"]): News["throttled"] {
  if (a === undefined || b === undefined) return a ?? b;
  if (a.afterMs === undefined || b.afterMs === undefined)
    return { afterMs: a.afterMs ?? b.afterMs };
  return { afterMs: Math.max(a.afterMs, b.afterMs) };
}
