import { priceOf } from "../config/prices.ts";
import { routesOf } from "../config/routes.ts";
import type { Quota } from "../config/upstreams.ts";
import type { Config } from "../config.ts";
import { bodyHash } from "../core/compact-json.ts";
import { type Forecast, forecast, type Load } from "../core/forecast.ts";
import { together } from "../core/limits.ts";
import { costOf, dollarsOf } from "../core/price.ts";
import { quoted } from "../core/quoted.ts";
import { ASSUMED_OUTPUT_TOKENS } from "../core/tokens.ts";
import type { BatchError, BatchOptions, Endpoint } from "../wire/batch.ts";
import type { BatchCheck } from "../wire/check.ts";
import type { NewTask } from "../wire/request.ts";

/** Errors that are listed; the others are counted. */
const LISTED = 100;
/** Models that are listed; the others are counted with them in the sums. */
const MODELS_LISTED = 100;
/** custom_ids, and bodies, that are compared: some tens of bytes each, of an isolate's 128 MB. */
const COMPARED = 250_000;

/** What is kept to, by quota: what is configured or was learned. Undefined is no limit. */
export type Rates = ReadonlyMap<string, { rpm: number | undefined; tpm: number | undefined }>;
/** The options of a batch that decide what it comes to. */
export type Options = Pick<BatchOptions, "dedupe" | "pool" | "max_concurrency">;

interface OfModel {
  tasks: number;
  /** Of the tasks, those that share no earlier one's call. */
  calls: number;
  inputTokens: number;
  outputTokens: number;
}

const NOTHING: OfModel = { tasks: 0, calls: 0, inputTokens: 0, outputTokens: 0 };

/** Adds up what a batch would be, task by task, without keeping the tasks. */
export class Tally {
  readonly #config: Config;
  readonly #endpoint: Endpoint;
  readonly #pool: boolean;
  /** Calls of the batch in flight at most, by its own wish. */
  readonly #maxConcurrency: number;
  readonly #models = new Map<string | undefined, OfModel>();
  readonly #errors: BatchError[] = [];
  readonly #ids = new Set<string>();
  /** Hashes of the bodies; undefined where equal bodies are called as often as they come. */
  readonly #bodies: Set<string> | undefined;
  #errorsInAll = 0;
  #unbounded = false;

  constructor(config: Config, endpoint: Endpoint, { dedupe, pool, max_concurrency }: Options) {
    this.#config = config;
    this.#endpoint = endpoint;
    this.#pool = pool;
    this.#maxConcurrency = max_concurrency ?? Number.POSITIVE_INFINITY;
    this.#bodies = dedupe ? new Set() : undefined;
  }

  /** Takes a task that is right, unless its custom_id was there before. */
  add(task: NewTask, line: number | null): void {
    if (this.#ids.has(task.customId)) {
      const message = `An earlier line has the custom_id '${quoted(task.customId)}'; each takes its own.`;
      this.fault({ code: "duplicate_custom_id", message, param: "custom_id", line });
      return;
    }
    if (this.#ids.size < COMPARED) this.#ids.add(task.customId);
    const known = this.#models.get(task.model) ?? { ...NOTHING };
    known.tasks += 1;
    if (!this.#isTwin(task)) {
      if (task.outputTokens === null) this.#unbounded = true;
      known.calls += 1;
      known.inputTokens += task.inputTokens;
      known.outputTokens += task.outputTokens ?? ASSUMED_OUTPUT_TOKENS;
    }
    this.#models.set(task.model, known);
  }

  #isTwin({ body }: NewTask): boolean {
    const bodies = this.#bodies;
    if (bodies === undefined) return false;
    const hash = bodyHash(body);
    if (bodies.has(hash)) return true;
    if (bodies.size < COMPARED) bodies.add(hash);
    return false;
  }

  /** Takes what is wrong with one. */
  fault(error: BatchError): void {
    this.#errorsInAll += 1;
    if (this.#errors.length < LISTED) this.#errors.push(error);
  }

  /** Counts more that are wrong, of which nothing else is known. */
  countFaults(more: number): void {
    this.#errorsInAll += more;
  }

  /** Whether nothing was there, right or wrong. */
  get isEmpty(): boolean {
    return this.#models.size === 0 && this.#errorsInAll === 0;
  }

  /** The names of the quotas that the models count against. */
  quotas(): string[] {
    const names = [...this.#models.keys()].flatMap((model) =>
      this.#quotasOf(model).map(({ name }) => name),
    );
    return [...new Set(names)];
  }

  /** The quotas of a model's calls: all of a pool's, else that of the first upstream. */
  #quotasOf(model: string | undefined): Quota[] {
    const routes = routesOf(this.#config.upstreams, this.#endpoint, model ?? "");
    return routes.slice(0, this.#pool ? undefined : 1).map(({ quota }) => quota);
  }

  /**
   * What it comes to.
   *
   * @param waiting tasks of the project that have no outcome yet
   * @param rates requests and tokens a minute that are kept to, by quota
   */
  check(waiting: number, rates: Rates): BatchCheck {
    const all = this.#sum();
    const cost = this.#cost();
    const alone = this.#forecast(0, rates);
    return {
      object: "batch.check",
      valid: this.#errorsInAll === 0 && all.tasks > 0,
      endpoint: this.#endpoint,
      tasks: all.tasks,
      models: [...this.#models]
        .slice(0, MODELS_LISTED)
        .map(([model, { tasks }]) => ({ model: model ?? null, tasks })),
      errors: { object: "list", data: this.#errors, total: this.#errorsInAll },
      estimate: {
        calls: all.calls,
        input_tokens: all.inputTokens,
        output_tokens_at_most: this.#unbounded ? null : all.outputTokens,
        output_tokens_assumed: all.outputTokens,
        cost_at_most: this.#unbounded ? null : cost,
        cost_assumed: cost,
        finish_seconds: Math.ceil(alone.ms / 100) / 10,
        finish_seconds_behind_others: Math.ceil(this.#forecast(waiting, rates).ms / 100) / 10,
        bound_by: alone.boundBy,
      },
    };
  }

  #sum(): OfModel {
    const sum = { ...NOTHING };
    for (const { tasks, calls, inputTokens, outputTokens } of this.#models.values()) {
      sum.tasks += tasks;
      sum.calls += calls;
      sum.inputTokens += inputTokens;
      sum.outputTokens += outputTokens;
    }
    return sum;
  }

  /** US dollars, or null when a model has no price. */
  #cost(): number | null {
    let nanos = 0;
    for (const [model, { inputTokens, outputTokens }] of this.#models) {
      const price = priceOf(this.#config.prices, model);
      if (price === undefined) return null;
      nanos += costOf(price, {
        input_tokens: inputTokens,
        cached_tokens: 0,
        output_tokens: outputTokens,
      });
    }
    return dollarsOf(nanos);
  }

  /**
   * The slowest of the quotas that the models count against: they work side by side. Those of a pool
   * give what they have together; without it the first is taken to be up.
   */
  #forecast(waiting: number, rates: Rates): Forecast {
    const quotas = new Map<string, { load: Load; limits: Parameters<typeof forecast>[1] }>();
    for (const [model, { calls, inputTokens, outputTokens }] of this.#models) {
      const all = this.#quotasOf(model);
      const [first] = all;
      if (first === undefined) continue;
      const limits = all.map((quota) => ({ ...quota.limits, ...rates.get(quota.name) }));
      const known = quotas.get(first.name) ?? {
        load: { calls: 0, tokens: 0, outputTokens: 0 },
        limits: together(limits),
      };
      known.load.calls += calls;
      known.load.tokens += inputTokens + outputTokens;
      known.load.outputTokens += outputTokens;
      quotas.set(first.name, known);
    }
    let longest: Forecast = { ms: 0, boundBy: "calls in flight" };
    for (const { load, limits } of quotas.values()) {
      // What waits is taken for tasks of this kind, all against this quota: the worst it can be.
      const more = load.calls === 0 ? 1 : (load.calls + waiting) / load.calls;
      const whole = {
        calls: load.calls * more,
        tokens: load.tokens * more,
        outputTokens: load.outputTokens * more,
      };
      // The batch's own limit of calls in flight holds for its own calls, not for those before them.
      const maxConcurrency = Math.min(limits.maxConcurrency, this.#maxConcurrency);
      for (const one of [forecast(whole, limits), forecast(load, { ...limits, maxConcurrency })]) {
        if (one.ms > longest.ms) longest = one;
      }
    }
    return longest;
  }
}
