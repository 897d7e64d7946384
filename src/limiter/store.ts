import { type Breaker, freshBreaker } from "../core/breaker.ts";
import { type Learned, nothingLearned } from "../core/learned.ts";
import { freshQuota, type Hold, isGone, type Quota } from "../core/quota.ts";
import type { Sql } from "../core/sql.ts";
import { meanOutputAfter } from "../core/tokens.ts";
import {
  type BreakerRow,
  breaker,
  type HoldRow,
  learned,
  type OutputRow,
  type QuotaRow,
} from "./schema.ts";

/** Models whose answers are remembered; a quota has a handful. */
const MODELS_MAX = 500;
/** A mean is written again once it has moved by so much: it is as good as the one before. */
const MOVED_SHARE = 0.05;

/** A quota and its holds, in memory for reading and in SQLite so that eviction forgets nothing. */
export class LimiterStore {
  readonly #sql: Sql;
  readonly #holds = new Map<string, Hold>();
  readonly #outputs = new Map<string, { mean: number; written: number }>();
  #quota: Quota;
  #breaker: Breaker;

  constructor(sql: Sql) {
    this.#sql = sql;
    const row = sql.exec<QuotaRow>("SELECT * FROM quota").toArray()[0];
    this.#quota = row
      ? {
          requests: { tatMs: row.requests_tat },
          tokens: { tatMs: row.tokens_tat },
          cooldownUntilMs: row.cooldown_until,
          throttles: row.throttles,
          askedAtMs: row.asked_at,
          learned: readLearned(row.learned),
        }
      : freshQuota();
    const [broken] = sql.exec<BreakerRow>("SELECT state FROM breaker").toArray();
    this.#breaker = readBreaker(broken?.state);
    for (const { model, mean } of sql.exec<OutputRow>("SELECT * FROM output")) {
      this.#outputs.set(model, { mean, written: mean });
    }
    for (const hold of sql.exec<HoldRow>("SELECT * FROM hold")) {
      this.#holds.set(hold.batch, {
        held: hold.held,
        unmet: hold.unmet,
        unmetCost: hold.unmet_cost,
        weight: hold.weight,
        waitingSinceMs: hold.waiting_since,
        seenAtMs: hold.seen_at,
        dueAtMs: hold.due_at,
        // What it was granted lately is kept in memory only: it fades in seconds.
        calls: 0,
        tokens: 0,
        fadedAtMs: hold.seen_at,
      });
    }
  }

  get quota(): Quota {
    return this.#quota;
  }

  get holds(): ReadonlyMap<string, Hold> {
    return this.#holds;
  }

  get breaker(): Breaker {
    return this.#breaker;
  }

  /** Replaces what is known of the upstream's answers; the same object is no change. */
  setBreaker(breaker: Breaker): void {
    if (breaker === this.#breaker) return;
    this.#breaker = breaker;
    if (breaker.failures === 0) this.#sql.exec("DELETE FROM breaker");
    else {
      const state = JSON.stringify(breaker);
      this.#sql.exec("INSERT OR REPLACE INTO breaker (id, state) VALUES (1, ?)", state);
    }
  }

  /** Replaces the quota's state. */
  setQuota(quota: Quota): void {
    this.#quota = quota;
    this.#sql.exec(
      `INSERT OR REPLACE INTO quota (id, requests_tat, tokens_tat, cooldown_until, throttles,
         asked_at, learned) VALUES (1, ?, ?, ?, ?, ?, ?)`,
      quota.requests.tatMs,
      quota.tokens.tatMs,
      quota.cooldownUntilMs,
      quota.throttles,
      quota.askedAtMs,
      JSON.stringify(quota.learned),
    );
  }

  /** Takes the lengths of a model's answers. @returns their mean; null while there was none. */
  hear(model: string, answers: { calls: number; outputTokens: number }): number | null {
    const before = this.#outputs.get(model);
    const mean = meanOutputAfter(before?.mean ?? null, answers);
    if (mean === null || (before === undefined && this.#outputs.size >= MODELS_MAX)) return mean;
    let written = before?.written ?? Number.NaN;
    if (!(Math.abs(mean - written) <= MOVED_SHARE * written)) {
      this.#sql.exec("INSERT OR REPLACE INTO output (model, mean) VALUES (?, ?)", model, mean);
      written = mean;
    }
    this.#outputs.set(model, { mean, written });
    return mean;
  }

  /** Replaces one batch's hold; one that neither has nor wants calls goes. */
  setHold(batch: string, hold: Hold): void {
    if (hold.held === 0 && hold.unmet === 0) {
      if (this.#holds.delete(batch)) this.#sql.exec("DELETE FROM hold WHERE batch = ?", batch);
      return;
    }
    this.#holds.set(batch, hold);
    this.#sql.exec(
      `INSERT OR REPLACE INTO hold (batch, held, unmet, unmet_cost, waiting_since, seen_at, weight,
         due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      batch,
      hold.held,
      hold.unmet,
      hold.unmetCost,
      hold.waitingSinceMs,
      hold.seenAtMs,
      hold.weight,
      hold.dueAtMs,
    );
  }

  /** Forgets holds of batches that have been silent too long to be there. */
  dropStale(nowMs: number): void {
    for (const [batch, hold] of this.#holds) {
      if (isGone(hold, nowMs)) this.setHold(batch, { ...hold, held: 0, unmet: 0 });
    }
  }
}

function readLearned(text: string | null): Learned {
  if (text === null) return nothingLearned();
  return learned.safeParse(JSON.parse(text)).data ?? nothingLearned();
}

function readBreaker(text: string | undefined): Breaker {
  if (text === undefined) return freshBreaker();
  return breaker.safeParse(JSON.parse(text)).data ?? freshBreaker();
}
