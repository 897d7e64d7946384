import type { Route } from "../config/routes.ts";
import { REFUSED_MANY, refusedShare } from "../core/pace.ts";
import type { AcquireReply, AcquireRequest } from "../limiter/acquire.ts";
import type { DecisionEvent } from "../log.ts";
import type { Assignment } from "./exchange.ts";
import { type Floor, type News, NO_TURN, Permits, type Turn } from "./permits.ts";
import type { Standing } from "./store/record.ts";
import { WayKey } from "./way-key.ts";

/** The Batch's side; see dispatch.ts. What a {@link Floor} has is for one way, this is for all. */
export interface Field {
  nowMs(): number;
  /** The ways of its calls, in the order of the configuration. */
  routes(): readonly Route[];
  /** The quota to ask where there is no way any more. */
  quota(): string;
  /** Whether all ways are used at once. */
  pool(): boolean;
  weight(): number;
  /** Calls in flight. */
  running(): number;
  /** The same by the upstream they went to; null is one that was not written down. */
  runningBy(): ReadonlyMap<string | null, number>;
  costs(want: number, meanOutput: number | null): number[];
  ready(): number;
  /** Whether no task will be handed out as things are. */
  idle(): boolean;
  served(): boolean;
  /** A quota keeps calls for the batch: somebody is to come for them. */
  called(quota: string): void;
  /** @throws when storage fails. */
  claim(holder: string, startInMs: readonly number[], to: Destination): Assignment[];
  acquire(said: Omit<AcquireRequest, "ref">): Promise<AcquireReply>;
  /** A way was shut for its key, or is open again. */
  log(event: DecisionEvent): void;
}

/** Where claimed tasks are called. */
export interface Destination {
  /** The upstream's name. */
  upstream: string;
  /** Tokens of its latest answers, in the mean; null while none is known. */
  meanOutput: number | null;
}

/** One way of a batch's calls. */
interface Way extends Destination {
  quota: string;
  route: Route | undefined;
  permits: Permits;
  key: WayKey;
  /** Part of its latest answers that were 429s. Derived, so never stored. */
  refusedShare: number;
}

/** What a way that is shut gives. Others may wait for calls, or not: it has no say in that. */
const SHUT: Turn = { ...NO_TURN, contended: true };
/** An upstream that rests for longer than this is not waited for where there is another way. */
const RESTS_MS = 1_000;
/** After a 429 with a wait that is longer the whole quota rests, so its task need not wait, too. */
const TOLD_MS = 2_000;

/**
 * The ways of a batch's calls: the upstreams that serve its models, each with its own quota, and so
 * with permits of its own. The first is used as long as it neither rests nor is down, and then the
 * next one; or all of them, the first before the others, when the batch is a pool. Each turn begins
 * with the first way, so it is used again as soon as its Limiter has something. A way whose key is
 * refused is passed over, as long as there is another.
 */
export class Ways {
  readonly #field: Field;
  readonly #known = new Map<string, Way>();
  #listed: { routes: readonly Route[]; ways: [Way, ...Way[]] } | undefined;
  /** Turns under way by holder: one that was dropped asks no further. */
  readonly #turns = new Map<string, object>();

  constructor(field: Field) {
    this.#field = field;
  }

  /** Up to `want` tasks for a conversation, claimed in its name. Never throws. */
  turn(holder: string, want: number): Promise<Turn> {
    const [first, ...others] = this.#list();
    // Its own promise: what follows a turn finds the asking that gave it still under way.
    if (others.length === 0) return first.permits.turn(holder, want);
    return this.#turn(first, others, holder, want);
  }

  async #turn(first: Way, others: readonly Way[], holder: string, want: number): Promise<Turn> {
    const me = {};
    this.#turns.set(holder, me);
    let sum = await this.#ask(first, holder, want);
    let before = first;
    for (const way of others) {
      const left = want - sum.tasks.length;
      // All that was asked for was granted: there is nothing that may be handed out.
      if (left <= 0 || sum.retryInMs === null) break;
      if (!this.#field.pool() && this.#isOpen(before)) break;
      if (this.#turns.get(holder) !== me) return sum;
      sum = joined(sum, await this.#ask(way, holder, left));
      before = way;
    }
    if (this.#turns.get(holder) === me) this.#turns.delete(holder);
    return sum;
  }

  /** One way's part of a turn: of one that is shut one call at most, as a probe. */
  async #ask(way: Way, holder: string, want: number): Promise<Turn> {
    const { permits, key } = way;
    if (!this.#isShut(way)) return permits.turn(holder, want);
    const nowMs = this.#field.nowMs();
    const probeInMs = key.probeInMs(nowMs);
    // Before the ask: who asks meanwhile makes no second one.
    if (probeInMs === 0) key.probe(nowMs);
    const turn = probeInMs === 0 ? await permits.turn(holder, 1) : SHUT;
    if (turn.tasks.length === want) return turn;
    const retryInMs = Math.max(turn.retryInMs ?? 0, key.probeInMs(nowMs), 1);
    return { ...turn, retryInMs, blockedBy: "rate", contended: true };
  }

  /** What a conversation without lanes is told. */
  get idle(): Turn {
    const used = this.#used();
    return { ...NO_TURN, contended: used.every(({ permits }) => permits.idle.contended) };
  }

  /** Ends a holder's turns that still wait; see {@link Permits.drop}. */
  drop(holder: string): void {
    this.#turns.delete(holder);
    for (const { permits } of this.#list()) permits.drop(holder);
  }

  /** Whether a holder waits for a Limiter here. */
  waits(holder: string): boolean {
    return this.#list().some(({ permits }) => permits.waits(holder));
  }

  /** There may be calls for the batch, whatever was said before: of a quota, or of all. */
  wake(quota?: string): void {
    for (const way of this.#list()) {
      if (quota === undefined || way.quota === quota) way.permits.wake();
    }
  }

  /** Whether a Limiter knows other than the truth. */
  owes(): boolean {
    return this.#list().some((way) => this.#owes(way));
  }

  /** Tells the Limiters what they do not know, and what must not go stale. @returns whether it got there. */
  async tell(): Promise<boolean> {
    const ways = this.#list();
    if (ways.length === 1) return ways[0].permits.tell();
    const due = ways.filter((way) => this.#held(way) > 0 || this.#owes(way));
    const told = await Promise.all(due.map(({ permits }) => permits.tell()));
    return told.every((got) => got);
  }

  /**
   * Tells those that would not hear it soon by being asked.
   *
   * @returns undefined when there is nobody to tell.
   */
  settle(turn: Turn, end: boolean): Promise<unknown> | undefined {
    const due = this.#list().filter((way) => {
      const gave = turn.tasks.some(({ upstream }) => upstream === way.upstream);
      const soon = gave || (!end && this.#isUsed(way) && way.permits.asksSoon());
      return !soon && this.#owes(way);
    });
    return due.length === 0 ? undefined : Promise.all(due.map(({ permits }) => permits.tell()));
  }

  /** Notes what a call's report tells of its upstream. */
  note(upstream: string | null, news: News): void {
    const way = this.#of(upstream);
    if (way === undefined) return;
    // The probe came back: what was said while it was out is over.
    const isBack = way.permits.isDown && (news.alive ?? 0) > 0;
    way.refusedShare = refusedShare(way.refusedShare, news.accepted ?? 0, news.refused ?? 0);
    way.permits.note(news);
    if (isBack && this.#list().length > 1) way.permits.wake();
  }

  /** Notes that an upstream refused the key of a call. */
  keyRefused(upstream: string | null): void {
    const way = this.#of(upstream);
    if (way === undefined) return;
    const { key } = way;
    if (key.refuse(this.#hasOther(way), this.#field.nowMs()))
      this.#field.log({ event: "key_refused", upstream: way.upstream });
  }

  /** Notes that a call to an upstream succeeded. @param startedAtMs when it began. */
  keyTaken(upstream: string | null, startedAtMs: number): void {
    const way = this.#of(upstream);
    if (way === undefined || !way.key.take(startedAtMs)) return;
    this.#field.log({ event: "key_taken", upstream: way.upstream });
    way.permits.wake();
  }

  /** The batch runs again, perhaps because a key was mended: all are tried as at first. */
  forgetKeys(): void {
    for (const way of this.#known.values()) way.key = new WayKey();
  }

  /**
   * How the way of a call stands.
   *
   * @param refusing whether its key was refused to another call of the same exchange.
   */
  standing(upstream: string | null, refusing = false): Standing {
    const way = this.#of(upstream);
    const others = this.#list().filter((other) => other !== way);
    const elsewhere = others.some((other) => this.#isOpen(other));
    const passesKey = way !== undefined && this.#hasOther(way) && way.key.doubted(refusing);
    // Not with one way: its calls go on, so they must come to an end.
    const down = others.length > 0 && way?.permits.isDown === true;
    return {
      othersPass: (way?.refusedShare ?? 0) < REFUSED_MANY,
      meaning: (verdict, isKeyRefused = false) => {
        if (isKeyRefused && passesKey) return { kind: "throttled" };
        if (verdict.kind === "retry" && down) return { kind: "throttled" };
        const isQuotas = verdict.kind === "throttled" && (verdict.afterMs ?? 0) > TOLD_MS;
        return isQuotas && elsewhere ? { kind: "throttled" } : verdict;
      },
    };
  }

  /** The ways that are used now: all of a pool, else the first that neither rests nor is down. */
  inUse(): Route[] {
    return this.#used().flatMap(({ route }) => route ?? []);
  }

  /** Says to the quotas in use that the batch wants calls, before anybody asks for them. */
  announce(say: (quota: string) => void): void {
    for (const { quota, permits } of this.#used()) {
      permits.announced();
      say(quota);
    }
  }

  #used(): readonly Way[] {
    const ways = this.#list();
    const taken = ways.filter((way) => !this.#isShut(way));
    if (this.#field.pool()) return taken;
    return [ways.find((way) => this.#isOpen(way)) ?? taken[0] ?? ways[0]];
  }

  #isUsed(way: Way): boolean {
    if (this.#isShut(way)) return false;
    const ways = this.#list();
    if (this.#field.pool() || way === ways[0]) return true;
    return ways.slice(0, ways.indexOf(way)).every((before) => !this.#isOpen(before));
  }

  /** Whether its upstream neither rests nor is down nor refuses the key, as far as is known. */
  #isOpen(way: Way): boolean {
    const { permits } = way;
    return !permits.isDown && permits.restsMs <= RESTS_MS && !this.#isShut(way);
  }

  /** Whether its upstream refuses the key. The last way that is left is used whatever it says. */
  #isShut(way: Way): boolean {
    return way.key.isShut && this.#hasOther(way);
  }

  /** Whether there is another way whose key is not refused. */
  #hasOther(way: Way): boolean {
    return this.#list().some((other) => other !== way && !other.key.isShut);
  }

  #owes(way: Way): boolean {
    if (way.permits.owes()) return true;
    // One that is asked no more would take the batch for waiting, and keep calls for it.
    if (this.#list().length === 1 || !way.permits.wants) return false;
    return !this.#isUsed(way) || this.#field.idle();
  }

  #of(upstream: string | null): Way | undefined {
    const ways = this.#list();
    if (ways.length === 1 || upstream === null) return ways[0];
    return ways.find((way) => way.upstream === upstream);
  }

  /** Calls in flight on a way; calls from before they were told apart are the first's. */
  #held(way: Way): number {
    const [first, ...others] = this.#list();
    if (others.length === 0) return this.#field.running();
    const by = this.#field.runningBy();
    return (by.get(way.upstream) ?? 0) + (way === first ? (by.get(null) ?? 0) : 0);
  }

  #list(): readonly [Way, ...Way[]] {
    const routes = this.#field.routes();
    if (this.#listed?.routes === routes) return this.#listed.ways;
    const [first, ...others] = routes.map((route) => this.#wayOf(route));
    const ways: [Way, ...Way[]] = [first ?? this.#wayOf(undefined), ...others];
    this.#listed = { routes, ways };
    return ways;
  }

  #wayOf(route: Route | undefined): Way {
    const quota = route?.quota.name ?? this.#field.quota();
    const key = route === undefined ? "" : quota;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const field = this.#field;
    const floor: Floor = {
      nowMs: () => field.nowMs(),
      weight: () => field.weight(),
      held: () => this.#held(way),
      // Of a way that is shut while somebody waits for it no more than a probe is asked for.
      costs: (want) => field.costs(this.#isShut(way) ? Math.min(want, 1) : want, way.meanOutput),
      ready: () => (this.#isUsed(way) ? field.ready() : 0),
      served: () => field.served(),
      called: () => field.called(quota),
      meanOutput: (tokens) => {
        way.meanOutput = tokens;
      },
      claim: (holder, startInMs) => field.claim(holder, startInMs, way),
      acquire: (said) => {
        const elsewhere = this.#list().length > 1 ? ("probe" as const) : undefined;
        return field.acquire({ quota, elsewhere, ...said });
      },
    };
    const way: Way = {
      quota,
      route,
      upstream: route?.upstream.name ?? "",
      meanOutput: null,
      refusedShare: 0,
      permits: new Permits(floor),
      key: new WayKey(),
    };
    this.#known.set(key, way);
    return way;
  }
}

/** What two ways gave for one turn; the second had what the first left. */
function joined(first: Turn, second: Turn): Turn {
  const retryInMs =
    first.retryInMs === null || second.retryInMs === null
      ? null
      : Math.min(first.retryInMs, second.retryInMs);
  const blocked = [first.blockedBy, second.blockedBy];
  return {
    tasks: [...first.tasks, ...second.tasks],
    retryInMs,
    blockedBy: blocked.includes("calls") ? "calls" : retryInMs === null ? null : "rate",
    contended: first.contended && second.contended,
    invite: first.invite ?? second.invite,
  };
}
