import { type Admitted, admit } from "../core/admission.ts";
import { askAgainMs, callsAllowed, heard, isDown, probing } from "../core/breaker.ts";
import type { Limits } from "../core/deal.ts";
import { inForce } from "../core/learned.ts";
import { limitsOf, type UpstreamLimits } from "../core/limits.ts";
import { paceOf } from "../core/pace.ts";
import { type Ask, type Grant, isGone, type Quota } from "../core/quota.ts";
import type { DecisionEvent } from "../log.ts";
import type { BatchRef } from "../wire/messages.ts";
import { type AcquireReply, type AcquireRequest, isSingleCall } from "./acquire.ts";
import { breakerDecisions, quotaDecisions } from "./decisions.ts";
import { isLeasable, Leases } from "./leases.ts";
import { keyOf, refOf } from "./names.ts";
import { OwnWaits } from "./own-waits.ts";
import { crowdedRetryMs, isCrowded, SingleCalls } from "./single-calls.ts";
import type { LimiterStore } from "./store.ts";

/** A batch that was shown to one asker is not shown to the next ones for this long. */
const INVITE_EVERY_MS = 1_000;
/** When there is no upstream to call, ask again after this long. */
const NO_UPSTREAM_RETRY_MS = 5_000;

const NO_ANSWERS = { calls: 0, outputTokens: 0 };

/** How a quota stands, over all batches of all projects. */
export interface LimiterState {
  inFlight: number;
  /** Calls that are wanted and not permitted yet. */
  waiting: number;
  batches: number;
  cooldownUntilMs: number;
  throttles: number;
  /** Since when the upstream answers nobody; null while it does. */
  downSinceMs: number | null;
  /** Requests and tokens a minute that headers told of, and when; null where they did not. */
  told: { rpm: number | null; tpm: number | null; atMs: number | null };
  /** Requests a minute that 429s taught; null while none did. */
  pace: number | null;
  /** What is kept to: the strictest of what is configured, told and taught. */
  inForce: { rpm: number | null; tpm: number | null; maxConcurrency: number } | null;
}

/** What an ask leads to. */
interface Acquired {
  reply: AcquireReply;
  /** Batches that calls are kept for and that do not know. */
  wake: BatchRef[];
  /** Single calls, the same. */
  turns: BatchRef[];
  decided: DecisionEvent[];
}

/** An ask that changed nothing. */
function nothing(retryInMs: number, more: Partial<AcquireReply>): Acquired {
  const none: Grant = { startInMs: [], retryInMs, blockedBy: "rate", contended: false };
  const reply = { ...none, kept: false, invite: null, meanOutput: null, ...more };
  return { reply, wake: [], turns: [], decided: [] };
}

/** What a Limiter does, apart from the platform it does it on. Time and chance are arguments. */
export class LimiterEngine {
  readonly #store: LimiterStore;
  /** When each waiting batch was last shown to an asker. Forgetting it costs an idle exchange. */
  readonly #invitedAtMs = new Map<string, number>();
  readonly #leases = new Leases();
  readonly #singleCalls = new SingleCalls();
  readonly #waits = new OwnWaits();

  constructor(store: LimiterStore) {
    this.#store = store;
  }

  /**
   * Takes a batch's news and grants what it may have now.
   *
   * @returns the answer, who is to be told that there are calls for it, and what to log.
   */
  acquire(
    request: AcquireRequest,
    limits: UpstreamLimits | undefined,
    nowMs: number,
    random: number,
  ): Acquired {
    if (limits === undefined) return nothing(NO_UPSTREAM_RETRY_MS, {});
    const { ref, quota: name, model = "", answers = NO_ANSWERS, ...news } = request;
    const { alive = 0, broken = 0, elsewhere, takesLease = false, ...all } = news;
    const batch = keyOf(ref);
    const who = model === "" ? batch : model;
    const heardOf = this.#waits.hear(who, { ...all, batch }, nowMs);
    const said = heardOf === "own" ? { ...all, throttled: undefined, refused: 0 } : all;
    const store = this.#store;
    store.dropStale(nowMs);
    const isNew = said.costs.length > 0 && !store.holds.has(batch);
    if (isNew && isSingleCall(ref) && isCrowded(store.holds, ref.project, nowMs)) {
      return nothing(crowdedRetryMs(random), { crowded: true });
    }
    const meanOutput = store.hear(model, answers);
    const breakerBefore = store.breaker;
    store.setBreaker(heard(breakerBefore, { batch, alive, broken, held: said.held }, nowMs));
    const shut = elsewhere !== undefined && isDown(store.breaker);
    const most = elsewhere === "avoid" ? 0 : callsAllowed(store.breaker, nowMs);
    const ask = shut
      ? { ...said, batch, costs: said.costs.slice(0, most), ready: 0 }
      : { ...said, batch };
    const inForce = limitsOf(limits);
    const before = heardOf === "lifted" ? awake(store.quota, nowMs) : store.quota;
    const singles = this.#singleCalls;
    const admitted = this.#admit(who, before, inForce, ask, nowMs, random);
    const { quota, hold, called } = admitted;
    let { grant } = admitted;
    if (isSingleCall(ref) && grant.startInMs.length > 0) {
      singles.grant(ref.project, said.costs[0] ?? 0, nowMs);
    }
    if (shut && grant.startInMs.length > 0) store.setBreaker(probing(store.breaker, batch, nowMs));
    if (shut && grant.startInMs.length < said.costs.length) {
      const retryInMs = Math.max(grant.retryInMs ?? 0, askAgainMs(store.breaker, nowMs));
      grant = { ...grant, retryInMs, blockedBy: "rate", contended: false };
    }
    store.setQuota(quota);
    store.setHold(batch, hold);
    for (const other of called) {
      const waiting = store.holds.get(other);
      // It is to come now, so its calls are kept a little, and it is not called again.
      if (waiting) store.setHold(other, { ...waiting, dueAtMs: nowMs });
    }
    // Only who asks for calls has a consumer waiting, which can take an invitation.
    const invite = said.costs.length > 0 ? this.#invite(batch, nowMs) : null;
    // Who has calls, or wants some, is somebody whom others must leave room for. Who only looks is not:
    // two that have nothing here would end each other's leases, and so wake each other, for ever.
    const isRival = hold.held + hold.unmet > 0;
    if (!isRival) this.#leases.leave(batch);
    const ended = isRival ? this.#leases.end(batch, nowMs) : [];
    const others = new Set([...called, ...ended]);
    others.delete(batch);
    const refs = [...others].map(refOf);
    const restsMs = Math.max(quota.cooldownUntilMs - nowMs, this.#waits.aloneMs(who, nowMs), 0);
    const down = isDown(store.breaker);
    // Without a call in flight there is none that another one could follow.
    const alone = takesLease && hold.held > 0 && !down && this.#isAlone(batch, nowMs);
    const leaseMs =
      alone && isLeasable(quota, inForce, nowMs) ? this.#leases.give(batch, nowMs) : 0;
    const kept = called.includes(batch);
    const upstream = { down, ...(restsMs > 0 && { restsMs }) };
    return {
      reply: { ...grant, leaseMs, kept, invite, meanOutput, ...upstream },
      wake: refs.filter((other) => !isSingleCall(other)),
      turns: refs.filter(isSingleCall),
      decided: [
        ...quotaDecisions(name, before, quota, nowMs),
        ...(heardOf === "lifted" ? [{ event: "quota_wakes" as const, quota: name }] : []),
        ...breakerDecisions(name, breakerBefore, store.breaker),
      ],
    };
  }

  /** How it stands. @param limits as configured; undefined where the quota is configured no more. */
  state(limits: UpstreamLimits | undefined): LimiterState {
    const { quota, holds, breaker } = this.#store;
    const { learned } = quota;
    const all = [...holds.values()];
    const force = limits && inForce(limitsOf(limits), learned);
    return {
      inFlight: all.reduce((sum, { held }) => sum + held, 0),
      waiting: all.reduce((sum, { unmet }) => sum + unmet, 0),
      batches: all.length,
      cooldownUntilMs: quota.cooldownUntilMs,
      throttles: quota.throttles,
      downSinceMs: isDown(breaker) ? breaker.failingSinceMs : null,
      told: {
        rpm: learned.requests?.perMinute ?? null,
        tpm: learned.tokens?.perMinute ?? null,
        atMs: learned.toldAtMs === 0 ? null : learned.toldAtMs,
      },
      pace: paceOf(learned.pace)?.perMinute ?? null,
      inForce: force
        ? {
            rpm: force.requests?.perMinute ?? null,
            tpm: force.tokens?.perMinute ?? null,
            maxConcurrency: force.maxConcurrency,
          }
        : null,
    };
  }

  /**
   * Says that a batch has work that nobody has asked permits for yet, so that it gets served.
   *
   * @returns batches to be told that they are not alone any more.
   */
  announce(ref: BatchRef, weight: number, wanted: number, nowMs: number): BatchRef[] {
    const batch = keyOf(ref);
    const before = this.#store.holds.get(batch);
    this.#store.setHold(batch, {
      held: before?.held ?? 0,
      unmet: wanted,
      unmetCost: before?.unmetCost ?? 0,
      weight,
      waitingSinceMs: before && before.unmet > 0 ? before.waitingSinceMs : nowMs,
      seenAtMs: nowMs,
      dueAtMs: 0,
      calls: before?.calls ?? 0,
      tokens: before?.tokens ?? 0,
      fadedAtMs: before?.fadedAtMs ?? nowMs,
    });
    this.#invitedAtMs.delete(batch);
    return this.#leases.end(batch, nowMs).map(refOf);
  }

  /** In how long a batch that waits is to ask again; undefined for one that does not wait. */
  dueInMs(ref: BatchRef, nowMs: number): number | undefined {
    const hold = this.#store.holds.get(keyOf(ref));
    return hold && hold.unmet > 0 ? hold.dueAtMs - nowMs : undefined;
  }

  /**
   * Admits an ask as the waits of its own model and of others let it.
   *
   * @param who as for {@link OwnWaits.hear}.
   */
  #admit(
    who: string,
    before: Quota,
    limits: Limits,
    ask: Ask,
    nowMs: number,
    random: number,
  ): Admitted {
    const waits = this.#waits;
    const { holds } = this.#store;
    const singles = this.#singleCalls;
    const aloneMs = waits.aloneMs(who, nowMs);
    const probeInMs = (quota: Quota, held: number) =>
      quota.cooldownUntilMs > nowMs ? waits.probeInMs(who, held, nowMs) : undefined;
    // The quota rests for another's wait: one call finds out whether that is this one's, too.
    const probes = aloneMs === 0 && !ask.throttled && probeInMs(before, ask.held) === 0;
    let admitted: Admitted;
    if (probes) {
      const one = { ...ask, costs: ask.costs.slice(0, 1), ready: 0 };
      admitted = admit(awake(before, nowMs), holds, limits, one, nowMs, random, singles);
      if (admitted.grant.startInMs.length > 0) waits.probing(ask.batch, nowMs);
      const { cooldownUntilMs } = before;
      admitted = { ...admitted, quota: { ...admitted.quota, cooldownUntilMs }, called: [] };
    } else {
      const some = aloneMs > 0 ? { ...ask, costs: [], ready: 0 } : ask;
      admitted = admit(before, holds, limits, some, nowMs, random, singles);
    }
    const { grant, quota, hold } = admitted;
    const waitsMs = aloneMs > 0 ? aloneMs : probeInMs(quota, hold.held);
    if (waitsMs === undefined || grant.startInMs.length >= ask.costs.length) return admitted;
    const retryInMs = Math.max(1, Math.ceil(waitsMs));
    return { ...admitted, grant: { ...grant, retryInMs, blockedBy: "rate", contended: false } };
  }

  /** Whether no other batch has calls in flight, or wants some. */
  #isAlone(asker: string, nowMs: number): boolean {
    for (const [batch, hold] of this.#store.holds) {
      if (batch !== asker && hold.held + hold.unmet > 0 && !isGone(hold, nowMs)) return false;
    }
    return true;
  }

  /** A batch with work and no call in flight, other than the asker's. */
  #invite(asker: string, nowMs: number): BatchRef | null {
    for (const [batch, hold] of this.#store.holds) {
      if (batch === asker || hold.held > 0 || hold.unmet === 0) continue;
      if (isSingleCall(refOf(batch))) continue;
      const invitedAtMs = this.#invitedAtMs.get(batch);
      if (invitedAtMs !== undefined && nowMs - invitedAtMs < INVITE_EVERY_MS) continue;
      this.#invitedAtMs.set(batch, nowMs);
      return refOf(batch);
    }
    // Entries only matter for as long as they hold back an invitation.
    if (this.#invitedAtMs.size > 1_000) this.#invitedAtMs.clear();
    return null;
  }
}

/** A quota that does not rest. */
function awake(quota: Quota, nowMs: number): Quota {
  return { ...quota, cooldownUntilMs: Math.min(quota.cooldownUntilMs, nowMs) };
}
