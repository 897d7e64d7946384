import type { AcquireReply, AcquireRequest } from "../limiter/acquire.ts";
import { log } from "../log.ts";
import type { BatchRef } from "../wire/messages.ts";
import type { Assignment } from "./exchange.ts";

/** What a conversation gets when it asks for tasks. */
export interface Turn {
  tasks: Assignment[];
  /** When to ask the Limiter again; null when it granted all that was asked. */
  retryInMs: number | null;
  /** What the rest waits for; see `Grant`. */
  blockedBy: AcquireReply["blockedBy"];
  /** Others wait for calls, too: the Limiter calls when it is this batch's turn. */
  contended: boolean;
  invite: BatchRef | null;
}

/** What happened since the Limiter was last told. */
export type News = Pick<
  AcquireRequest,
  | "leased"
  | "extraTokens"
  | "throttled"
  | "answered"
  | "accepted"
  | "refused"
  | "told"
  | "answers"
  | "alive"
  | "broken"
>;

/** The Batch's side of a turn; see engine.ts. */
export interface Floor {
  nowMs(): number;
  /** The batch's weight where batches compete. */
  weight(): number;
  /** Calls in flight now. */
  held(): number;
  /** Estimated tokens of the next tasks that may be handed out, at most `want` of them. */
  costs(want: number): number[];
  /** Tasks that may be handed out now, counted up to a bound. */
  ready(): number;
  /** What the Limiter says of the length of answers; from the next ask on. */
  meanOutput(tokens: number | null): void;
  /** Whether there are conversations. */
  served(): boolean;
  /** The Limiter keeps calls for the batch: somebody is to come for them. */
  called(): void;
  /** Claims the next tasks for a holder, one for each start. @throws when storage fails. */
  claim(holder: string, startInMs: readonly number[]): Assignment[];
  acquire(said: Omit<AcquireRequest, "quota" | "ref">): Promise<AcquireReply>;
}

interface Waiter {
  holder: string;
  want: number;
  give(turn: Turn): void;
}

/** The Limiter did not answer; ask again soon. */
const UNREACHABLE_RETRY_MS = 250;
/** What an ask tells that is this near need not be told before it. */
const SOON_MS = 500;

/**
 * Gets permits in bulk: one call to the Limiter at a time, for all conversations that wait. Only
 * so can the calls in flight be told as one true number: each ask says what is held, and nothing
 * is claimed between an ask and its answer but by that answer.
 */
export class Permits {
  readonly #floor: Floor;
  #waiting: Waiter[] = [];
  /** Those of the ask under way. */
  #asked: Waiter[] = [];
  #news: News | undefined;
  #asking: Promise<void> | undefined;
  /** Calls in flight as the Limiter has them; undefined when that is not known. */
  #acknowledged: number | undefined;
  /** When the Limiter last answered; the times below are as of then. */
  #toldAtMs = 0;
  /** The Limiter has nothing before this time, and what that is for. */
  #notBeforeMs = 0;
  #blockedBy: AcquireReply["blockedBy"] = null;
  #contended = false;
  /** Until when calls that end may be followed by others without asking. */
  #leasedUntilMs = 0;
  /** Until when the upstream rests, and whether it is down, as the Limiter last said. */
  #restsUntilMs = 0;
  #down = false;
  /** The Limiter was told of calls that are wanted, and did not give all of them. */
  #wants = false;

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
      leased: (before?.leased ?? 0) + (news.leased ?? 0),
      accepted: (before?.accepted ?? 0) + (news.accepted ?? 0),
      refused: (before?.refused ?? 0) + (news.refused ?? 0),
      told: news.told ?? before?.told,
      alive: (before?.alive ?? 0) + (news.alive ?? 0),
      broken: (before?.broken ?? 0) + (news.broken ?? 0),
      answers: {
        calls: (before?.answers?.calls ?? 0) + (news.answers?.calls ?? 0),
        outputTokens: (before?.answers?.outputTokens ?? 0) + (news.answers?.outputTokens ?? 0),
      },
    };
  }

  /** Up to `want` tasks for a conversation, claimed in its name. Never throws. */
  turn(holder: string, want: number): Promise<Turn> {
    if (want <= this.#leased()) {
      const tasks = this.#claim(
        holder,
        Array.from({ length: want }, () => 0),
      );
      this.note({ ...NO_NEWS, leased: tasks.length });
      return Promise.resolve({ ...NO_TURN, tasks });
    }
    const retryInMs = this.#blockedMs();
    if (retryInMs > 0)
      return Promise.resolve({ ...this.idle, retryInMs, blockedBy: this.#blockedBy });
    return new Promise((give) => {
      this.#waiting.push({ holder, want, give });
      void this.#ask();
    });
  }

  /** Calls that have ended and may be followed by others without asking. */
  #leased(): number {
    // What an ask under way says must stay true until it is answered.
    if (this.#asking !== undefined || this.#news?.throttled !== undefined) return 0;
    // Of a failure, or of limits that headers tell, the Limiter is to hear first.
    if ((this.#news?.broken ?? 0) > 0 || this.#news?.told !== undefined) return 0;
    if (this.#acknowledged === undefined || this.#leftMs(this.#leasedUntilMs) === 0) return 0;
    return this.#acknowledged - this.#floor.held();
  }

  /** There may be calls for the batch, whatever was said before; or others want some, too. */
  wake(): void {
    this.#notBeforeMs = 0;
    this.#leasedUntilMs = 0;
  }

  /** Whether what is owed can wait for the next ask, which comes soon by itself. */
  asksSoon(): boolean {
    const blockedMs = this.#blockedMs();
    return blockedMs > 0 && blockedMs <= SOON_MS && this.#blockedBy === "rate";
  }

  /** How long the upstream rests, as far as is known; 0 when it does not. */
  get restsMs(): number {
    return this.#leftMs(this.#restsUntilMs);
  }

  /** How long until a time that the Limiter told; 0 once the clock went back behind the telling. */
  #leftMs(untilMs: number): number {
    const nowMs = this.#floor.nowMs();
    return nowMs < this.#toldAtMs ? 0 : Math.max(0, untilMs - nowMs);
  }

  /** Whether the upstream is down, as far as is known. */
  get isDown(): boolean {
    return this.#down;
  }

  /** Whether the Limiter takes the batch for one that wants calls. */
  get wants(): boolean {
    return this.#wants;
  }

  /** The Limiter was told in another way that the batch wants calls. */
  announced(): void {
    this.#wants = true;
  }

  /** What a conversation without lanes is told: it asks for nothing. */
  get idle(): Turn {
    return { ...NO_TURN, contended: this.#contended };
  }

  /** How long asking is of no use; 0 when there is news that changes that. */
  #blockedMs(): number {
    if (this.#news?.throttled !== undefined || this.#acknowledged === undefined) return 0;
    const ended = this.#floor.held() < this.#acknowledged;
    if (this.#blockedBy === "calls" && ended) return 0;
    return this.#leftMs(this.#notBeforeMs);
  }

  /** Ends a holder's turns that still wait, without tasks: it speaks anew, and nobody hears them. */
  drop(holder: string): void {
    for (const list of [this.#waiting, this.#asked]) {
      for (let index = list.length - 1; index >= 0; index -= 1) {
        if (list[index]?.holder === holder) list.splice(index, 1)[0]?.give(NO_TURN);
      }
    }
  }

  /** Whether a holder waits for its turn here. */
  waits(holder: string): boolean {
    return [...this.#waiting, ...this.#asked].some((waiter) => waiter.holder === holder);
  }

  /** Whether the Limiter has another number of calls in flight than there are. */
  owes(): boolean {
    return this.#acknowledged !== this.#floor.held();
  }

  /** Tells the news and the calls in flight without asking for more. @returns whether it got there. */
  async tell(): Promise<boolean> {
    this.#news ??= NO_NEWS;
    await this.#ask();
    return this.#news === undefined;
  }

  #ask(): Promise<void> {
    this.#asking ??= this.#askAll();
    return this.#asking;
  }

  async #askAll(): Promise<void> {
    // Not before `#asking` is set.
    await Promise.resolve();
    let reached = true;
    // News alone is not worth asking on while the Limiter is out of reach: the next turn takes it.
    while (this.#waiting.length > 0 || (reached && this.#news !== undefined)) {
      reached = await this.#askOnce();
    }
    // In the same turn as the last look at who waits: nobody can join an asking that is over.
    this.#asking = undefined;
  }

  /** @returns whether the Limiter answered. Never throws. */
  async #askOnce(): Promise<boolean> {
    const news = this.#news ?? NO_NEWS;
    this.#asked = this.#waiting;
    this.#waiting = [];
    this.#news = undefined;
    let reply: AcquireReply | undefined;
    try {
      const costs = this.#floor.costs(this.#asked.reduce((sum, { want }) => sum + want, 0));
      const held = this.#floor.held();
      const weight = this.#floor.weight();
      const ready = Math.max(0, this.#floor.ready() - costs.length);
      const served = this.#floor.served();
      const asked = { held, weight, costs, ready, served, takesLease: true };
      reply = await this.#floor.acquire({ ...asked, ...news });
      this.#acknowledged = held + reply.startInMs.length;
      this.#toldAtMs = this.#floor.nowMs();
      this.#notBeforeMs = this.#toldAtMs + (reply.retryInMs ?? 0);
      this.#leasedUntilMs = this.#toldAtMs + (reply.leaseMs ?? 0);
      this.#blockedBy = reply.blockedBy;
      this.#contended = reply.contended;
      this.#restsUntilMs = this.#toldAtMs + (reply.restsMs ?? 0);
      this.#down = reply.down ?? false;
      this.#wants = ready > 0 || reply.startInMs.length < costs.length;
    } catch {
      // What was granted and not heard of is corrected by the next ask's absolute number.
      this.#acknowledged = undefined;
      this.note(news);
    }
    const asked = this.#asked;
    this.#asked = [];
    let starts = reply?.startInMs ?? [];
    let invite = reply?.invite ?? null;
    const outcome: Omit<Turn, "tasks" | "invite"> = {
      retryInMs: reply === undefined ? UNREACHABLE_RETRY_MS : reply.retryInMs,
      blockedBy: reply === undefined ? "rate" : reply.blockedBy,
      contended: reply?.contended ?? false,
    };
    for (const { holder, want, give } of asked) {
      const tasks = this.#claim(holder, starts.slice(0, want));
      starts = starts.slice(tasks.length);
      give({ ...outcome, tasks, invite });
      invite = null;
    }
    if (reply?.kept && this.#hasNext()) this.#floor.called();
    // Not before the claims: they reserve what was asked for.
    if (reply !== undefined) this.#floor.meanOutput(reply.meanOutput ?? null);
    // Fewer were claimed than granted: the batch was paused or ended meanwhile, or somebody left.
    if (reply !== undefined && this.owes()) this.#news ??= NO_NEWS;
    return reply !== undefined;
  }

  /** Who came for what is not there would ask for nothing, be kept calls again, and come again. */
  #hasNext(): boolean {
    try {
      return this.#floor.costs(1).length > 0;
    } catch {
      // Not known: who comes for nothing is better than who does not come.
      return true;
    }
  }

  #claim(holder: string, startInMs: readonly number[]): Assignment[] {
    if (startInMs.length === 0) return [];
    try {
      return this.#floor.claim(holder, startInMs);
    } catch (error) {
      // The transaction took nothing; who waits must be answered all the same.
      log({ event: "claim_failed", error: String(error) });
      return [];
    }
  }
}

const NO_NEWS: News = { extraTokens: 0, throttled: undefined, answered: false };
/** The turn of a conversation that got nothing and hears of nothing. */
export const NO_TURN: Turn = {
  tasks: [],
  retryInMs: null,
  blockedBy: null,
  contended: false,
  invite: null,
};

function longest(a: News["throttled"], b: News["throttled"]): News["throttled"] {
  if (a === undefined || b === undefined) return a ?? b;
  if (a.afterMs === undefined || b.afterMs === undefined)
    return { afterMs: a.afterMs ?? b.afterMs };
  return { afterMs: Math.max(a.afterMs, b.afterMs) };
}
