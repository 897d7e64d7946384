import type {
  Assignment,
  Claim,
  ExchangeReply,
  ExchangeRequest,
  Report,
} from "../batch/exchange.ts";
import type { Upstream } from "../config/upstreams.ts";
import { log } from "../log.ts";
import type { Endpoint } from "../wire/batch.ts";
import type { BatchRef } from "../wire/messages.ts";
import { callUpstream } from "./call.ts";
import { Deadlines } from "./deadlines.ts";
import type { Lanes, Seeker } from "./lanes.ts";
import type { Held, Memory } from "./memory.ts";
import type { Slots } from "./slots.ts";
import { type LanePlan, weightOf } from "./weight.ts";

/** What a conversation stands on. */
export interface Ground {
  /** Names the conversation. */
  holder: string;
  /** Whether another batch's exchange led here, and not a pointer. */
  invited: boolean;
  upstreams: readonly Upstream[];
  lanes: Lanes;
  plan: LanePlan;
  slots: Slots;
  memory: Memory;
  exchange(request: ExchangeRequest): Promise<ExchangeReply>;
  /** Resolves when there may be calls that were not there before. */
  listen(holder: string): Promise<void>;
  /** Opens a conversation with another batch in the same invocation. */
  invite(ref: BatchRef): void;
  /** Whether the invocation's time slice or call budget is over. */
  over(): boolean;
  /** Counts one call to the upstream or one exchange against the budget, or a part of one. */
  spend(part?: number): void;
  /** A conversation is heard at least this often. */
  heartbeatMs: number;
}

/** With free lanes and calls in flight, how often to ask whether there is more. */
const POLL_MS = 500;
const CONTENDED_MS = 5_000;
/** Waits after an exchange that failed, doubled each time. */
const BROKEN_BASE_MS = 100;
const BROKEN_MAX_MS = 5_000;
/** Exchanges that may fail in a row before the conversation is given up; its claims then run out. */
const BROKEN_LIMIT = 20;
/** An exchange that is not answered by then is taken for lost, and said again. */
const EXCHANGE_MS = 60_000;
/**
 * Characters of answers in one exchange, if there is more than one. An RPC carries at most 32 MiB,
 * and a Batch may hear fifty conversations at once in 128 MB.
 */
const REPORTED_AT_ONCE = 1_000_000;
/**
 * An exchange costs about as much for one report as for ten. So when others are likely to come
 * within this part of the time that calls take, and within that of an exchange, they are waited for.
 */
const LINGER_SHARE = 0.1;
const LINGER_MAX_MS = 25;
/** Where there is no call for the batch before a time, reports are waited for until then or so long. */
const PATIENCE_MAX_MS = 100;
/** How much the latest call weighs in the mean time of calls. */
const LATEST_SHARE = 0.1;
/** Bytes of a stream that cost about as much CPU time as a call besides: a hundred chunks. */
const STREAMED_BYTES = 25_000;

/**
 * One conversation with one Batch: report what is done, take what is next, until there is nothing
 * more. One exchange at a time, so outcomes that come while one is under way go together with the
 * next; a call that ends refills its own lane and waits for no other.
 */
export class Conversation implements Seeker {
  readonly #ground: Ground;
  readonly #deadlines = new Deadlines();
  readonly #inFlight = new Map<string, Claim>();
  #reports: Report[] = [];
  /** What the reports hold in memory until the Batch has them. */
  readonly #held = new Map<Report, Held>();
  #over = false;
  /** Lanes it has and has not used. */
  #hand = 0;
  /** Lanes that a call of its batch takes: the most it may be, until the Batch has told its tasks. */
  #weight: number;
  /** Calls that the Batch had for it beyond those it gave, when it last spoke. */
  #wants = Number.POSITIVE_INFINITY;
  #wake: (() => void) | undefined;
  /** Whether the Batch was asked to say when there are calls, and whether it has. */
  #listening = false;
  #called = false;
  /** How long calls take, in the mean, and how long the last exchange took. */
  #callMs: number | undefined;
  #exchangeMs = 0;
  /** The batch's tasks go to upstreams that this invocation does not know: it is of an older deploy. */
  #isOutdated = false;
  /** Before this time there is no call for the batch, whatever is reported. */
  #patientUntilMs = 0;

  constructor(ground: Ground) {
    this.#ground = ground;
    this.#weight = ground.plan.unstreamed;
  }

  get wants(): number {
    return this.#wants;
  }

  get weight(): number {
    return this.#weight;
  }

  /** Speaks until the Batch ends it. Never throws. */
  async run(): Promise<void> {
    try {
      await this.#speak();
    } finally {
      this.#ground.lanes.leave(this);
      this.#giveHand();
      this.#over = true;
      for (const report of this.#held.keys()) this.#letGo(report);
    }
  }

  /** Called by the lanes, when it is this conversation's turn. */
  grant(count: number): void {
    this.#hand += count;
    this.#wake?.();
  }

  async #speak(): Promise<void> {
    let broken = 0;
    while (broken < BROKEN_LIMIT) {
      const leaving = this.#ground.over() || this.#isOutdated;
      const full = !this.#ground.memory.hasRoom;
      if (leaving || full) this.#giveHand();
      else this.#hand += this.#ground.lanes.take(this.#weight, this.#wants);
      const hand = this.#hand;
      const want = Math.floor(hand / this.#weight);
      this.#hand = 0;
      const reports = this.#takeReports();
      const saidMs = Date.now();
      const reply = await this.#exchange(reports, want, leaving);
      this.#exchangeMs = Date.now() - saidMs;
      if (reply === undefined) {
        // The Batch fences by attempt, so saying it again does no harm.
        this.#reports = [...reports, ...this.#reports];
        // While it rests it has no use for lanes, nor for its place in line.
        this.#ground.lanes.leave(this);
        this.#hand += hand;
        this.#giveHand();
        broken += 1;
        await sleep(Math.min(BROKEN_MAX_MS, BROKEN_BASE_MS * 2 ** broken));
        continue;
      }
      broken = 0;
      for (const report of reports) this.#letGo(report);
      this.#wants = reply.more;
      const patienceMs = Math.min(reply.patienceMs ?? 0, PATIENCE_MAX_MS);
      this.#patientUntilMs = patienceMs > 0 ? Date.now() + patienceMs : 0;
      let used = 0;
      let most = 0;
      for (const task of reply.tasks) {
        if (!this.#knows(task)) continue;
        const weight = this.#start(task, reply.endpoint);
        used += weight;
        // Tasks may go to several upstreams, and not all be streamed.
        most = Math.max(most, weight);
      }
      if (most > 0) this.#weight = most;
      this.#ground.lanes.give(hand - used);
      if (reply.invite) this.#ground.invite(reply.invite);
      if (reply.end && this.#reports.length === 0) return;
      if (leaving) await this.#news(Number.POSITIVE_INFINITY);
      // What it did not begin goes back at once.
      else if (!this.#isOutdated) await this.#news(full ? POLL_MS : this.#restMs(reply, want));
    }
    const { holder } = this.#ground;
    log({ event: "batch_unreachable", holder });
  }

  async #exchange(
    reports: Report[],
    want: number,
    leaving: boolean,
  ): Promise<ExchangeReply | undefined> {
    const { holder, invited } = this.#ground;
    // Reports that wait for the next exchange are still its own.
    const later = this.#reports.map(({ seq, attempt }) => ({ seq, attempt }));
    const holding = [...this.#inFlight.values(), ...later];
    this.#ground.spend();
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error("the exchange was not answered")), EXCHANGE_MS);
      });
      const said = this.#ground.exchange({ holder, invited, reports, holding, want, leaving });
      return await Promise.race([said, late]);
    } catch (error) {
      log({ event: "exchange_failed", holder, error: String(error) });
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Whether a task's upstream is known here. Where it is not, the task is not begun: as it is not held
   * either, the Batch takes it back, and another invocation takes this one's place.
   */
  #knows({ upstream }: Assignment): boolean {
    const isKnown = this.#ground.upstreams.some(({ name }) => name === upstream);
    if (!isKnown) this.#isOutdated = true;
    return isKnown;
  }

  /** How long to want no lanes after a reply. */
  #restMs(reply: ExchangeReply, want: number): number {
    if (reply.waitMs === null) return POLL_MS;
    // Where batches compete there is a call when it is this one's turn; that is not to be relied on.
    if (reply.contended) return CONTENDED_MS;
    // Nothing was refused, only lanes were lacking: get in line for them.
    return want <= reply.tasks.length ? 0 : reply.waitMs;
  }

  /** @returns the lanes that the call takes. */
  #start(task: Assignment, endpoint: Endpoint): number {
    const { seq, attempt } = task;
    const key = `${seq}:${attempt}`;
    this.#inFlight.set(key, { seq, attempt });
    const { upstreams, lanes, plan, slots, memory, spend } = this.#ground;
    const upstream = upstreams.find(({ name }) => name === task.upstream);
    const weight = weightOf(plan, endpoint, upstream);
    memory.addBody(task.body.length);
    const call = async () => {
      if (task.startInMs > 0) await sleep(task.startInMs);
      spend();
      const held = memory.open();
      const report = await callUpstream(task, endpoint, upstream, {
        slots,
        deadlines: this.#deadlines,
        held,
        read: (bytes) => spend(bytes / STREAMED_BYTES),
        nowMs: Date.now,
      });
      memory.addBody(-task.body.length);
      if (this.#over) held.close();
      else this.#held.set(report, held);
      this.#inFlight.delete(key);
      this.#callMs ??= report.tookMs;
      this.#callMs += LATEST_SHARE * (report.tookMs - this.#callMs);
      this.#reports.push(report);
      // The lane goes to who waits first in line; this conversation, if nobody does.
      lanes.give(weight);
      this.#wake?.();
    };
    void call();
    return weight;
  }

  /** The oldest reports, as many as fit one exchange; at least one. */
  #takeReports(): Report[] {
    let size = 0;
    let count = 0;
    for (const { result } of this.#reports) {
      size += result.kind === "answered" ? result.body.length : 0;
      if (count > 0 && size > REPORTED_AT_ONCE) break;
      count += 1;
    }
    return this.#reports.splice(0, count);
  }

  #letGo(report: Report): void {
    this.#held.get(report)?.close();
    this.#held.delete(report);
  }

  #giveHand(): void {
    const hand = this.#hand;
    this.#hand = 0;
    if (hand > 0) this.#ground.lanes.give(hand);
  }

  /** Has the Batch say when there are calls, beside all that may happen before. Once at a time. */
  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    this.#ground.spend();
    const heard = (called: boolean) => {
      this.#listening = false;
      this.#called = called;
      if (called) this.#wake?.();
    };
    this.#ground.listen(this.#ground.holder).then(
      () => heard(true),
      // It asks by itself, then.
      () => heard(false),
    );
  }

  /** Waits for a report, for lanes (after a rest), for a call, or for the heartbeat. */
  async #news(restMs: number): Promise<void> {
    const { lanes, heartbeatMs } = this.#ground;
    const startMs = Date.now();
    const heartbeatAtMs = startMs + heartbeatMs;
    let seekAtMs = startMs + restMs;
    if (restMs < Number.POSITIVE_INFINITY) this.#listen();
    for (;;) {
      if (this.#called) {
        this.#called = false;
        lanes.waitFirst(this);
        seekAtMs = Number.POSITIVE_INFINITY;
      }
      if (this.#reports.length > 0 || this.#hand > 0) return this.#linger();
      const nowMs = Date.now();
      if (nowMs >= heartbeatAtMs) return;
      if (nowMs >= seekAtMs) {
        lanes.wait(this);
        seekAtMs = Number.POSITIVE_INFINITY;
        continue;
      }
      await this.#woken(Math.min(heartbeatAtMs, seekAtMs) - nowMs);
    }
  }

  /** Waits until something happens, or for `ms`. */
  async #woken(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  /** Whether what there is to report can wait for more. */
  #isPatient(): boolean {
    if (Date.now() >= this.#patientUntilMs || this.#called || this.#inFlight.size === 0)
      return false;
    return this.#ground.memory.hasRoom && !this.#reports.some(tellsOfLimit);
  }

  /**
   * Waits a moment for more reports: where there is no call for the batch anyway, until there is; else
   * if more are likely in it.
   */
  async #linger(): Promise<void> {
    while (this.#isPatient()) await this.#woken(this.#patientUntilMs - Date.now());
    if (this.#patientUntilMs > 0) return;
    const callMs = this.#callMs ?? 0;
    const ms = Math.floor(Math.min(this.#exchangeMs, callMs * LINGER_SHARE, LINGER_MAX_MS));
    const likely = (this.#inFlight.size * ms) / callMs;
    if (ms > 0 && likely >= 1) await sleep(ms);
  }
}

/** Whether a report tells of a 429, which the others' calls must hear of. */
function tellsOfLimit({ verdict }: Report): boolean {
  return verdict.kind === "throttled";
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
