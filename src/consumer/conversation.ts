import type { ExchangeReply, ExchangeRequest, Report } from "../batch/exchange.ts";
import type { Upstream } from "../config.ts";
import type { BatchRef } from "../wire/messages.ts";
import { callUpstream } from "./call.ts";
import type { Lanes } from "./lanes.ts";

/** What a conversation stands on. */
export interface Ground {
  /** Names the conversation. */
  holder: string;
  upstream: Upstream;
  lanes: Lanes;
  exchange(request: ExchangeRequest): Promise<ExchangeReply>;
  /** Opens a conversation with another batch in the same invocation. */
  invite(ref: BatchRef): void;
  /** Whether the invocation's time slice or call budget is over. */
  over(): boolean;
  /** Counts one call to the upstream and one exchange against the budget. */
  spend(): void;
  /** A conversation is heard at least this often while it has calls in flight. */
  heartbeatMs: number;
}

/** With free lanes and calls in flight, how often to ask whether there is more. */
const POLL_MS = 500;
/** Waits after an exchange that failed, doubled each time. */
const BROKEN_BASE_MS = 100;
const BROKEN_MAX_MS = 5_000;
/** Exchanges that may fail in a row before the conversation is given up; its claims then run out. */
const BROKEN_LIMIT = 20;

/**
 * One conversation with one Batch: report what is done, take what is next, until there is nothing
 * more. One exchange at a time, so outcomes that come while one is under way go together with the
 * next; a call that ends refills its own lane and waits for no other.
 */
export class Conversation {
  readonly #ground: Ground;
  readonly #inFlight = new Set<number>();
  #reports: Report[] = [];
  #wake: (() => void) | undefined;
  #woken = false;

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  /** Speaks until the Batch ends it. Never throws. */
  async run(): Promise<void> {
    const release = this.#ground.lanes.onFree(() => this.#signal());
    try {
      await this.#speak();
    } finally {
      release();
    }
  }

  async #speak(): Promise<void> {
    let broken = 0;
    for (;;) {
      const { lanes, holder } = this.#ground;
      const leaving = this.#ground.over();
      const want = leaving ? 0 : lanes.takeAll();
      const reports = this.#reports;
      this.#reports = [];
      this.#woken = false;
      const holding = broken > 0 ? this.#holding(reports) : undefined;
      let reply: ExchangeReply;
      try {
        this.#ground.spend();
        reply = await this.#ground.exchange({ holder, reports, want, leaving, holding });
      } catch (error) {
        // The Batch fences by attempt, so saying it again does no harm.
        this.#reports = [...reports, ...this.#reports];
        lanes.give(want);
        broken += 1;
        if (broken >= BROKEN_LIMIT) {
          console.error(
            JSON.stringify({ event: "batch_unreachable", holder, error: String(error) }),
          );
          return;
        }
        await sleep(Math.min(BROKEN_MAX_MS, BROKEN_BASE_MS * 2 ** broken));
        continue;
      }
      broken = 0;
      for (const task of reply.tasks) this.#start(task, reply);
      lanes.give(want - reply.tasks.length);
      if (reply.invite) this.#ground.invite(reply.invite);
      if (reply.end) return;
      // Lanes that this very exchange gave back are no news; a report is.
      this.#woken = this.#reports.length > 0;
      // Who had lanes and got no task waits for time, not for lanes: two conversations that hand
      // each other the same unused lanes would never rest.
      await this.#news(this.#patience(reply, leaving), want === 0);
    }
  }

  /** How long to wait for news before speaking again. */
  #patience(reply: ExchangeReply, leaving: boolean): number {
    const { heartbeatMs } = this.#ground;
    if (leaving) return heartbeatMs;
    const poll = this.#inFlight.size > 0 ? POLL_MS : heartbeatMs;
    return Math.max(1, Math.min(reply.waitMs ?? heartbeatMs, poll, heartbeatMs));
  }

  #start(task: ExchangeReply["tasks"][number], reply: ExchangeReply): void {
    this.#inFlight.add(task.seq);
    const { upstream, lanes } = this.#ground;
    const call = async () => {
      if (task.startInMs > 0) await sleep(task.startInMs);
      this.#ground.spend();
      const report = await callUpstream(task, reply.endpoint, upstream, Date.now);
      this.#inFlight.delete(task.seq);
      this.#reports.push(report);
      this.#signal();
      lanes.give(1);
    };
    void call();
  }

  /** Tasks this conversation has, in flight or about to be reported. */
  #holding(reports: readonly Report[]): number[] {
    return [...this.#inFlight, ...reports.map(({ seq }) => seq)];
  }

  #signal(): void {
    this.#woken = true;
    this.#wake?.();
  }

  /** Waits for a report, for a lane, or for the time. */
  async #news(timeoutMs: number, lanesMatter: boolean): Promise<void> {
    const due = () => this.#reports.length > 0 || (lanesMatter && this.#woken);
    const until = Date.now() + timeoutMs;
    while (!due()) {
      const leftMs = until - Date.now();
      if (leftMs <= 0) return;
      this.#woken = false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
