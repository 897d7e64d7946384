import { priceOf } from "../config/prices.ts";
import { routesOf } from "../config/routes.ts";
import type { Config } from "../config.ts";
import { bodyHash } from "../core/compact-json.ts";
import { type Forecast, forecast, type Load } from "../core/forecast.ts";
import { costOf, dollarsOf } from "../core/price.ts";
import { ASSUMED_OUTPUT_TOKENS } from "../core/tokens.ts";
import type { BatchError, Endpoint } from "../wire/batch.ts";
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
  readonly #models = new Map<string | undefined, OfModel>();
  readonly #errors: BatchError[] = [];
  readonly #ids = new Set<string>();
  /** Hashes of the bodies; undefined where equal bodies are called as often as they come. */
  readonly #bodies: Set<string> | undefined;
  #errorsInAll = 0;
  #unbounded = false;

  constructor(config: Config, endpoint: Endpoint, dedupe: boolean) {
    this.#config = config;
    this.#endpoint = endpoint;
    this.#bodies = dedupe ? new Set() : undefined;
  }

  /** Takes a task that is right, unless its custom_id was there before. */
  add(task: NewTask, line: number | null): void {
    if (this.#ids.has(task.customId)) {
      const message = `An earlier line has the custom_id '${task.customId}'; each takes its own.`;
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

  /** The names of the quotas that the models count against. */
  quotas(): string[] {
    const names = [...this.#models.keys()].map((model) => this.#quotaOf(model)?.name);
    return [...new Set(names)].filter((name) => name !== undefined);
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

  #quotaOf(model: string | undefined) {
    return routesOf(this.#config.upstreams, this.#endpoint, model ?? "")[0]?.quota;
  }

  /** The slowest of the quotas that the models count against: they work side by side. */
  #forecast(waiting: number, rates: Rates): Forecast {
    const quotas = new Map<string, { load: Load; limits: Parameters<typeof forecast>[1] }>();
    for (const [model, { calls, inputTokens, outputTokens }] of this.#models) {
      const quota = this.#quotaOf(model);
      if (quota === undefined) continue;
      const known = quotas.get(quota.name) ?? {
        load: { calls: 0, tokens: 0, outputTokens: 0 },
        limits: { ...quota.limits, ...rates.get(quota.name) },
      };
      known.load.calls += calls;
      known.load.tokens += inputTokens + outputTokens;
      known.load.outputTokens += outputTokens;
      quotas.set(quota.name, known);
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
      const one = forecast(whole, limits);
      if (one.ms > longest.ms) longest = one;
    }
    return longest;
  }
}
