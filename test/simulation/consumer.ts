import type { Claim, ExchangeReply, ExchangeRequest, Report } from "../../src/batch/exchange.ts";
import type { Config } from "../../src/config.ts";
import { Lanes, type Seeker } from "../../src/consumer/lanes.ts";
import type { SimulatedBatch } from "./batch.ts";

/** As in src/consumer/conversation.ts and src/consumer/invocation.ts. */
const POLL_MS = 500;
const CONTENDED_MS = 5_000;
const BROKEN_BASE_MS = 100;
const BROKEN_MAX_MS = 5_000;
const BROKEN_LIMIT = 20;
export const EXCHANGE_MS = 60_000;
const SLICE_MS = 10 * 60_000;
const WALL_MS = 15 * 60_000;

/** A conversation that may speak does so within this time, unless it is frozen. */
const TARDY_MS = 1_000;

/** One call in flight. */
export interface Call {
  readonly conversation: Conversation;
  readonly seq: number;
  readonly attempt: number;
  /** Where it goes. */
  readonly upstream: string;
  readonly startMs: number;
  /** When it ends where there are no faults. */
  readonly endMs: number;
  /** It ends by then at the latest: with a timeout. */
  readonly latestMs: number;
}

/** One consumer invocation, as src/consumer/invocation.ts: lanes that its conversations share. */
export class Invocation {
  readonly name: string;
  readonly lanes: Lanes;
  readonly heartbeatMs: number;
  readonly wallMs: number;
  frozenUntilMs = 0;
  calls: Call[] = [];
  readonly #sliceEndMs: number;
  #subrequests: number;
  #talks: Conversation[] = [];
  #opened = 0;

  constructor(name: string, config: Config, nowMs: number) {
    this.name = name;
    this.lanes = new Lanes(config.lanes);
    this.heartbeatMs = config.claimTtlMs / 3;
    this.#subrequests = config.subrequests;
    this.#sliceEndMs = nowMs + SLICE_MS;
    this.wallMs = nowMs + WALL_MS;
  }

  get talks(): readonly Conversation[] {
    return this.#talks;
  }

  /** Opens a conversation with a batch, unless there is one. */
  open(batch: SimulatedBatch, invited: boolean, nowMs: number): void {
    if (this.#talks.some((talk) => talk.batch === batch)) return;
    this.#opened += 1;
    this.#talks.push(new Conversation(`${this.name}.${this.#opened}`, this, batch, invited, nowMs));
  }

  close(talk: Conversation): void {
    this.#talks = this.#talks.filter((other) => other !== talk);
  }

  spend(): void {
    this.#subrequests -= 1;
  }

  over(nowMs: number): boolean {
    return this.#subrequests <= 0 || nowMs >= this.#sliceEndMs;
  }

  /** A call has ended: its report goes into its conversation, its lane back. */
  finish(call: Call, report: Report): void {
    this.calls = this.calls.filter((other) => other !== call);
    call.conversation.finished(report);
    this.lanes.give(1);
  }
}

/**
 * One conversation with a batch: src/consumer/conversation.ts as a machine whose steps the driver
 * takes. It speaks, waits for the reply, and then for reports, lanes or time.
 */
export class Conversation implements Seeker {
  readonly weight = 1;
  readonly holder: string;
  readonly invocation: Invocation;
  readonly batch: SimulatedBatch;
  readonly #invited: boolean;
  readonly #inFlight = new Map<string, Claim>();
  #reports: Report[] = [];
  #state: "waiting" | "resting" | "speaking" | "over" = "resting";
  /** When it speaks at the latest: after a rest, or for the heartbeat. */
  #speakAtMs: number;
  /** When it gets in line for lanes. */
  #seekAtMs = Number.POSITIVE_INFINITY;
  /** Lanes it has and has not used. */
  #hand = 0;
  #wants = Number.POSITIVE_INFINITY;
  #listening = false;
  #broken = 0;
  #want = 0;
  #said: Report[] = [];

  constructor(
    holder: string,
    invocation: Invocation,
    batch: SimulatedBatch,
    invited: boolean,
    nowMs: number,
  ) {
    this.holder = holder;
    this.invocation = invocation;
    this.batch = batch;
    this.#invited = invited;
    this.#speakAtMs = nowMs;
  }

  /** Whether it speaks now, or gets in line for lanes. */
  due(nowMs: number): "speak" | "seek" | undefined {
    if (this.#state === "speaking" || this.#state === "over") return undefined;
    if (nowMs < this.invocation.frozenUntilMs) return undefined;
    const news = this.#state === "waiting" && (this.#reports.length > 0 || this.#hand > 0);
    if (news || nowMs >= this.#speakAtMs) return "speak";
    return this.#state === "waiting" && nowMs >= this.#seekAtMs ? "seek" : undefined;
  }

  /** When it does something if nothing happens; undefined while it does not wait for time. */
  nextMs(): number | undefined {
    if (this.#state === "speaking" || this.#state === "over") return undefined;
    const seekAtMs = this.#state === "waiting" ? this.#seekAtMs : Number.POSITIVE_INFINITY;
    return Math.max(this.invocation.frozenUntilMs, Math.min(this.#speakAtMs, seekAtMs));
  }

  /** It has done that by then. */
  latestMs(): number | undefined {
    const next = this.nextMs();
    return next === undefined ? undefined : next + TARDY_MS;
  }

  /** Whether this conversation will still report an attempt. */
  knows(seq: number, attempt: number): boolean {
    if (this.#state === "over") return false;
    const claims = [...this.#inFlight.values(), ...this.#said, ...this.#reports];
    return claims.some((claim) => claim.seq === seq && claim.attempt === attempt);
  }

  /** Called by the lanes, when it is this conversation's turn. */
  grant(count: number): void {
    this.#hand += count;
  }

  /** Gets in line for lanes. */
  seek(): void {
    this.#seekAtMs = Number.POSITIVE_INFINITY;
    this.invocation.lanes.wait(this);
  }

  /** What it says next. */
  speak(nowMs: number): ExchangeRequest {
    const { lanes } = this.invocation;
    const leaving = this.invocation.over(nowMs);
    if (leaving) this.#giveHand();
    else this.#hand += lanes.take(1, this.#wants);
    this.#want = this.#hand;
    this.#hand = 0;
    this.#said = this.#reports;
    this.#reports = [];
    this.#state = "speaking";
    this.invocation.spend();
    return {
      holder: this.holder,
      invited: this.#invited,
      reports: this.#said,
      holding: [...this.#inFlight.values()],
      want: this.#want,
      leaving,
    };
  }

  /** The exchange failed, or so it looks from here. */
  failed(nowMs: number): void {
    this.#reports = [...this.#said, ...this.#reports];
    this.#said = [];
    this.invocation.lanes.give(this.#want);
    this.#broken += 1;
    this.#state = "resting";
    this.#speakAtMs = nowMs + Math.min(BROKEN_MAX_MS, BROKEN_BASE_MS * 2 ** this.#broken);
    if (this.#broken >= BROKEN_LIMIT) this.#close();
  }

  /** The reply came. @param tookMs how long each call of it takes. */
  answered(reply: ExchangeReply, leaving: boolean, nowMs: number, tookMs: () => number): void {
    this.#broken = 0;
    this.#said = [];
    for (const { seq, attempt, upstream, startInMs } of reply.tasks) {
      this.#inFlight.set(`${seq}:${attempt}`, { seq, attempt });
      const startMs = Math.ceil(nowMs + startInMs);
      const endMs = startMs + tookMs();
      const latestMs = startMs + 30_000;
      this.invocation.spend();
      const call = { conversation: this, seq, attempt, upstream, startMs, endMs, latestMs };
      this.invocation.calls.push(call);
    }
    this.#state = "waiting";
    this.invocation.lanes.give(this.#want - reply.tasks.length);
    if (reply.end && this.#reports.length === 0) {
      this.#close();
      return;
    }
    this.#wants = reply.more;
    if (!leaving) this.#listen();
    this.#speakAtMs = nowMs + this.invocation.heartbeatMs;
    this.#seekAtMs = leaving ? Number.POSITIVE_INFINITY : nowMs + this.#restMs(reply);
  }

  /** A call of this conversation has ended. */
  finished(report: Report): void {
    this.#inFlight.delete(`${report.seq}:${report.attempt}`);
    this.#reports.push(report);
  }

  #restMs(reply: ExchangeReply): number {
    if (reply.waitMs === null) return POLL_MS;
    if (reply.contended) return CONTENDED_MS;
    return this.#want <= reply.tasks.length ? 0 : reply.waitMs;
  }

  /** Has the Batch say when there are calls; an evicted one says it never. */
  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    const heard = () => {
      this.#listening = false;
      if (this.#state === "waiting") this.#seekAtMs = 0;
    };
    void this.batch.engine.listen(this.holder).then(heard);
  }

  #giveHand(): void {
    const hand = this.#hand;
    this.#hand = 0;
    if (hand > 0) this.invocation.lanes.give(hand);
  }

  #close(): void {
    this.#state = "over";
    this.invocation.close(this);
    this.invocation.lanes.leave(this);
    this.#giveHand();
  }
}
