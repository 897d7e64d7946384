import type { Config } from "../config.ts";
import { signsOf } from "../core/signs.ts";
import type { ExchangeRequest, Report } from "./exchange.ts";
import { isKeyRefused, type Recorded, record } from "./store/record.ts";
import type { Store } from "./store/store.ts";
import type { Ways } from "./ways.ts";
import type { World } from "./world.ts";

/** After this many 401s without a success between them the key is taken for bad. */
const UNAUTHORIZED_LIMIT = 5;

/** Upstreams that refused their key in the exchange under way. */
type Refusing = Set<string | null>;

/** What consumers report: recorded, logged, and told to the Limiter of the way that it came. */
export class Reports {
  readonly #store: Store;
  readonly #world: World;
  readonly #config: Config;
  readonly #ways: Ways;

  constructor(store: Store, world: World, config: Config, ways: Ways) {
    this.#store = store;
    this.#world = world;
    this.#config = config;
    this.#ways = ways;
  }

  /**
   * Records what a conversation reports, and takes back what it never heard of.
   *
   * @returns whether the conversation is a new one.
   */
  take(request: ExchangeRequest, nowMs: number): boolean {
    const store = this.#store;
    const take = (write: (report: Report, refusing: Refusing) => Recorded) =>
      store.transaction(() => {
        const refusing: Refusing = new Set();
        const isNew = store.holders.seen(request.holder, nowMs);
        const recorded = request.reports.map((report) => write(report, refusing));
        const refused = recorded.some(({ unauthorized }) => unauthorized >= UNAUTHORIZED_LIMIT);
        if (refused) store.rows.stop("refused");
        if (store.tasks.heldBy(request.holder) !== request.holding.length) {
          store.tasks.requeue(request.holder, request.holding, nowMs);
        }
        return { isNew, recorded };
      });
    let taken: ReturnType<typeof take>;
    try {
      taken = take((report, refusing) => this.#record(report, refusing, nowMs));
    } catch {
      // A report that storage refuses undoes them all; so each once more, apart from the others.
      taken = take((report, refusing) => this.#recordApart(report, refusing, nowMs));
    }
    for (const [index, recorded] of taken.recorded.entries()) {
      const { verdict, extraTokens, upstream } = recorded;
      const report = request.reports[index];
      if (verdict === undefined || report === undefined) continue;
      this.#tellTask(report, recorded, nowMs);
      const { result, told, tookMs, usage } = report;
      const throttled = verdict.kind === "throttled";
      this.#ways.note(upstream, {
        extraTokens,
        throttled: throttled ? { afterMs: verdict.afterMs } : undefined,
        answered: verdict.kind === "succeeded",
        accepted: result.kind === "answered" && result.status !== 429 ? 1 : 0,
        refused: throttled ? 1 : 0,
        ...signsOf(result),
        told: told && { limits: told, tookMs },
        answers: usage && { calls: 1, outputTokens: usage.output_tokens },
      });
      if (verdict.kind === "succeeded") this.#ways.keyTaken(upstream, nowMs - tookMs);
      else if (isKeyRefused(report)) this.#ways.keyRefused(upstream);
    }
    return taken.isNew;
  }

  /** Logs what was decided of a task whose attempt did not succeed. */
  #tellTask({ seq, attempt, result }: Report, recorded: Recorded, nowMs: number): void {
    const { againAtMs, failed } = recorded;
    if (againAtMs === undefined && failed !== true) return;
    const cause = result.kind === "answered" ? { status: result.status } : { code: result.code };
    const task = { batch: this.#batchId, seq, attempt, ...cause };
    if (againAtMs === undefined) this.#world.log({ event: "task_failed", ...task });
    else
      this.#world.log({ event: "task_retried", ...task, wait_ms: Math.max(0, againAtMs - nowMs) });
  }

  #record(report: Report, refusing: Refusing, nowMs: number): Recorded {
    const random = this.#world.random();
    const standing = (upstream: string | null) =>
      this.#ways.standing(upstream, refusing.has(upstream));
    const { retry } = this.#config;
    const recorded = record(this.#store, report, this.#batchId, retry, nowMs, random, standing);
    if (recorded.verdict !== undefined && isKeyRefused(report)) refusing.add(recorded.upstream);
    return recorded;
  }

  /** Records one report. One that storage refuses ends its task, and harms no other. */
  #recordApart(report: Report, refusing: Refusing, nowMs: number): Recorded {
    try {
      return this.#store.transaction(() => this.#record(report, refusing, nowMs));
    } catch (error) {
      const { seq, attempt, tookMs } = report;
      const batch = this.#batchId;
      this.#world.log({ event: "report_refused", batch, seq, error: String(error) });
      const message = "The upstream's answer could not be stored.";
      const instead: Report = {
        seq,
        attempt,
        tookMs,
        verdict: { kind: "failed" },
        result: { kind: "unanswered", code: "invalid_response", message },
      };
      return this.#store.transaction(() => this.#record(instead, refusing, nowMs));
    }
  }

  get #batchId(): string {
    const row = this.#store.rows.get();
    if (row === undefined) throw new Error("the batch was never opened");
    return row.batch_id;
  }
}
