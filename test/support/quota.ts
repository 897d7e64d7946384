import { admit, FULL_RETRY_MS } from "../../src/core/admission.ts";
import { KEEP_MS } from "../../src/core/claimants.ts";
import { limitsOf, type UpstreamLimits } from "../../src/core/limits.ts";
import { type Ask, freshQuota, type Grant, type Hold, type Quota } from "../../src/core/quota.ts";

export const START_MS = Date.UTC(2026, 10, 22);

/** Calls are kept this long for a batch that was to be called and is not heard. */
export const KEPT_MS = FULL_RETRY_MS + KEEP_MS;

/** What a batch says; what it leaves out is nothing. `want` calls of one token each. */
export type Said = Partial<Omit<Ask, "batch">> & { want?: number };

/** One upstream's quota, kept from ask to ask as the Limiter keeps it. */
export class Upstream {
  quota: Quota = freshQuota();
  readonly holds = new Map<string, Hold>();
  readonly limits: UpstreamLimits;
  nowMs = START_MS;
  random = 0;
  /** Batches that the last ask had called. */
  called: string[] = [];

  constructor(limits: UpstreamLimits) {
    this.limits = limits;
  }

  ask(batch: string, { want = 0, ...said }: Said): Grant {
    const costs = said.costs ?? Array<number>(want).fill(1);
    const quiet = { held: 0, weight: 10, ready: 0, served: true, extraTokens: 0, answered: false };
    const ask: Ask = { batch, ...quiet, ...said, costs };
    const { quota, hold, grant, called } = admit(
      this.quota,
      this.holds,
      limitsOf(this.limits),
      ask,
      this.nowMs,
      this.random,
    );
    this.quota = quota;
    this.called = called;
    for (const other of called) {
      const waiting = this.holds.get(other);
      if (waiting) this.holds.set(other, { ...waiting, dueAtMs: this.nowMs });
    }
    if (hold.held === 0 && hold.unmet === 0) this.holds.delete(batch);
    else this.holds.set(batch, hold);
    return grant;
  }

  /** How many calls an ask gets. */
  grants(batch: string, said: Said): number {
    return this.ask(batch, said).startInMs.length;
  }
}

/** Batches that call an upstream, and what each of them has in flight. */
export class Crowd {
  readonly upstream: Upstream;
  readonly inFlight: number[];
  readonly finished: number[];

  constructor(limits: UpstreamLimits, batches: number) {
    this.upstream = new Upstream(limits);
    this.inFlight = Array<number>(batches).fill(0);
    this.finished = Array<number>(batches).fill(0);
  }

  get total(): number {
    return this.inFlight.reduce((sum, calls) => sum + calls, 0);
  }

  held(batch: number): number {
    return this.inFlight[batch] ?? 0;
  }

  /** Asks; a reply that is lost starts no call. */
  ask(batch: number, want: number, replyLost = false): Grant {
    const grant = this.upstream.ask(`batch-${batch}`, { held: this.held(batch), want });
    if (!replyLost) this.inFlight[batch] = this.held(batch) + grant.startInMs.length;
    return grant;
  }

  finish(batch: number, calls: number): void {
    const ended = Math.min(calls, this.held(batch));
    this.inFlight[batch] = this.held(batch) - ended;
    this.finished[batch] = (this.finished[batch] ?? 0) + ended;
  }

  /**
   * Runs batches that all have more work than they can ever do: a call ends, the lane that is free
   * asks in the same breath, and now and then everybody who waits asks again.
   *
   * @param pick the place, in [0, 1), of the call that ends next among those in flight.
   */
  run(calls: number, pick: () => number): void {
    const want = this.upstream.limits.maxConcurrency;
    for (let ended = 0; ended < calls; ended += 1) {
      if (ended % want === 0) {
        for (const [batch] of this.inFlight.entries()) this.ask(batch, want);
      }
      let place = Math.floor(pick() * this.total);
      const batch = this.inFlight.findIndex((held) => {
        place -= held;
        return place < 0;
      });
      this.upstream.nowMs += 10;
      this.finish(batch, 1);
      this.ask(batch, 1);
    }
  }
}

/** The same chances every time (mulberry32). */
export function chances(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Units in the window that is the fullest for its length, less what its length pays for. */
export function worstWindow(starts: { atMs: number; cost: number }[], perMinute: number): number {
  const sorted = starts.toSorted((a, b) => a.atMs - b.atMs);
  let worst = 0;
  for (const [first, { atMs: fromMs }] of sorted.entries()) {
    let units = 0;
    for (const { atMs, cost } of sorted.slice(first)) {
      units += cost;
      worst = Math.max(worst, units - ((atMs - fromMs) * perMinute) / 60_000);
    }
  }
  return worst;
}
