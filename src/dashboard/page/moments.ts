import type { TimelineObject } from "../../wire/task.ts";

/** One step of a chart. Rates are calls a second, latencies milliseconds. */
export interface Point {
  /** Unix seconds. */
  at: number;
  succeeded: number;
  failed: number;
  throttled: number;
  retried: number;
  p50: number | undefined;
  p90: number | undefined;
  p99: number | undefined;
}

interface Moment {
  succeeded: number;
  failed: number;
  throttled: number;
  retried: number;
  /** Calls by latency. */
  latency: Map<number, number>;
}

/** Steps that a chart can have; the next one is taken when there are too many. */
const STEPS_MS = [1_000, 5_000, 15_000, 60_000, 300_000, 1_800_000, 7_200_000, 43_200_000];
const MOST_POINTS = 240;

/** A batch over time, gathered from the parts in which the API tells it. */
export class Moments {
  readonly #moments = new Map<number, Moment>();
  #stepMs = STEPS_MS[0] ?? 1_000;

  /** The width of a step. */
  get stepMs(): number {
    return this.#stepMs;
  }

  /** Takes a part in; parts of one step add up. */
  add({ data }: Pick<TimelineObject, "data">): void {
    for (const { at, latency_ms, ...counts } of data) {
      this.#put(Date.parse(at), { ...counts, latency: new Map(latency_ms) });
    }
    const times = [...this.#moments.keys()];
    const spanMs = Math.max(...times) - Math.min(...times);
    while (times.length > 0 && spanMs / this.#stepMs > MOST_POINTS) {
      const wider = STEPS_MS.find((step) => step > this.#stepMs);
      if (wider === undefined) return;
      this.#widen(wider);
    }
  }

  /** Everything so far, without gaps in time: where nothing ended, there is a point that says so. */
  points(): Point[] {
    const times = [...this.#moments.keys()];
    if (times.length === 0) return [];
    const last = Math.max(...times);
    const points: Point[] = [];
    for (let at = Math.min(...times); at <= last; at += this.#stepMs) {
      points.push(this.#point(at));
    }
    return points;
  }

  #point(atMs: number): Point {
    const moment = this.#moments.get(atMs);
    const perSecond = 1000 / this.#stepMs;
    const bins = moment === undefined ? [] : [...moment.latency];
    return {
      at: atMs / 1000,
      succeeded: (moment?.succeeded ?? 0) * perSecond,
      failed: (moment?.failed ?? 0) * perSecond,
      throttled: (moment?.throttled ?? 0) * perSecond,
      retried: (moment?.retried ?? 0) * perSecond,
      p50: quantile(bins, 0.5),
      p90: quantile(bins, 0.9),
      p99: quantile(bins, 0.99),
    };
  }

  #put(atMs: number, moment: Moment): void {
    const at = Math.floor(atMs / this.#stepMs) * this.#stepMs;
    const known = this.#moments.get(at);
    if (known === undefined) {
      this.#moments.set(at, moment);
      return;
    }
    known.succeeded += moment.succeeded;
    known.failed += moment.failed;
    known.throttled += moment.throttled;
    known.retried += moment.retried;
    for (const [ms, calls] of moment.latency) {
      known.latency.set(ms, (known.latency.get(ms) ?? 0) + calls);
    }
  }

  #widen(stepMs: number): void {
    const before = [...this.#moments];
    this.#moments.clear();
    this.#stepMs = stepMs;
    for (const [at, moment] of before) this.#put(at, moment);
  }
}

/** The latency that a share of calls stayed at or below (nearest rank). */
export function quantile(
  bins: readonly (readonly [ms: number, calls: number])[],
  share: number,
): number | undefined {
  const sorted = [...bins].sort(([a], [b]) => a - b);
  let rank = Math.max(1, Math.ceil(share * sorted.reduce((sum, [, calls]) => sum + calls, 0)));
  for (const [ms, calls] of sorted) {
    rank -= calls;
    if (rank <= 0) return ms;
  }
  return undefined;
}
