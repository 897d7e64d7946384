import { etagOf, matches } from "../core/etag.ts";
import { type BatchObject, hasEnded } from "../wire/batch.ts";
import type { Result } from "../wire/errors.ts";
import type { Engine, News } from "./engine.ts";
import type { NewsDetail } from "./reader.ts";
import { Watch } from "./watch.ts";

/** What a listener asks for. */
export interface NewsRequest {
  /** Names the listener, so that those who listen can be counted. */
  listener: string;
  /** The place up to which it knows all. */
  after: number;
  tasks: NewsDetail;
  /** The ETag of the batch as it knows it. */
  etag: string | undefined;
  /** How long to wait for anything that it does not know. */
  waitMs: number;
}

export interface NewsReply extends News {
  etag: string;
  /** How long it is to rest before it asks again. */
  restMs: number;
}

/** One listener asks this often at most; between two pages of what it missed, at once. */
const REST_MS = 250;
/** Each further listener makes all of them rest longer: together they ask 50 times a second at most. */
const REST_EACH_MS = 20;
/** One that has not asked for this long is gone. */
const GONE_MS = 30_000;

interface Seen {
  view: Result<BatchObject>;
  etag: string;
  last: number;
}

/**
 * Those who wait for something to happen in a batch. Nothing is kept for them: each says what it
 * knows, so a slow one costs no memory here, and one that is lost leaves nothing behind.
 */
export class Listening {
  readonly #engine: () => Engine | undefined;
  readonly #watch: Watch<Seen>;
  readonly #askedAtMs = new Map<string, number>();

  /** @param engine the batch's engine; undefined while, or once, there is no batch. */
  constructor(engine: () => Engine | undefined) {
    this.#engine = engine;
    this.#watch = new Watch(() => this.#look());
  }

  /**
   * The batch as soon as it has ended or, with `ifNoneMatch`, as soon as it is not as the client
   * knows it; after `waitMs` as it stands.
   */
  async view(waitMs: number, ifNoneMatch: string | undefined): Promise<Result<BatchObject>> {
    const seen = await this.#watch.until(({ view, etag }) => {
      if (!view.ok || hasEnded(view.value.status)) return true;
      return ifNoneMatch !== undefined && !matches(ifNoneMatch, etag);
    }, waitMs);
    return seen.view;
  }

  /** What happened after what a listener knows, as soon as anything did. */
  async news(request: NewsRequest): Promise<Result<NewsReply>> {
    const { listener, after, tasks, waitMs } = request;
    const others = this.#count(listener) - 1;
    const { view } = await this.#watch.until((seen) => {
      if (!seen.view.ok || seen.etag !== request.etag) return true;
      return tasks !== "none" && seen.last > after;
    }, waitMs);
    if (!view.ok) return view;
    const news = this.#engine()?.news(after, tasks) ?? GONE;
    if (!news.ok) return news;
    const restMs = others * REST_EACH_MS + (news.value.more ? 0 : REST_MS);
    const etag = etagOf(JSON.stringify(news.value.batch));
    return { ok: true, value: { ...news.value, etag, restMs } };
  }

  #look(): Seen {
    const engine = this.#engine();
    const view = engine?.view() ?? GONE;
    const etag = view.ok ? etagOf(JSON.stringify(view.value)) : "";
    return { view, etag, last: engine?.reader.lastPlace() ?? 0 };
  }

  /** How many listen, this one with them. */
  #count(listener: string): number {
    const nowMs = Date.now();
    this.#askedAtMs.set(listener, nowMs);
    for (const [one, askedAtMs] of this.#askedAtMs) {
      if (nowMs - askedAtMs > GONE_MS) this.#askedAtMs.delete(one);
    }
    return this.#askedAtMs.size;
  }
}

const GONE = {
  ok: false as const,
  problem: { code: "not_found" as const, message: "No such batch." },
};
