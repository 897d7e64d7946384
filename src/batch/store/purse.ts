import { type Amount, afford, type Means, type Need, reserveFrom } from "../../core/budget.ts";
import { costOf } from "../../core/price.ts";
import type { Sql } from "../../core/sql.ts";
import type { Usage } from "../../core/usage.ts";
import type { BatchRows } from "./batch-row.ts";
import type { Prices } from "./prices.ts";
import type { Progress, ProgressChange } from "./progress.ts";

/** What a task's row says of the tokens its call may take, and of their price. */
export type NeedRow = {
  cost: number;
  /** Estimated, apart from the output; null in rows older than this column. */
  input_tokens: number | null;
  /** What the body allows; null when it says nothing. */
  output_tokens: number | null;
  price: number | null;
};

/** Columns of a {@link NeedRow}. */
export const NEED = "cost, input_tokens, output_tokens, price";

/** What is reserved for the call of a task that runs; of any other task these mean nothing. */
export type Reserved = { reserved_tokens: number; reserved_cost: number };

/** Columns of {@link Reserved}. */
export const RESERVED = "reserved_tokens, reserved_cost";

/** The change of the sums when what was reserved for calls is given back. */
export function released(calls: readonly Reserved[]): ProgressChange {
  const change = { reserved_tokens: 0, reserved_cost: 0 };
  for (const { reserved_tokens, reserved_cost } of calls) {
    change.reserved_tokens -= reserved_tokens;
    change.reserved_cost -= reserved_cost;
  }
  return change;
}

/** The budget of a batch, and what is left of it. Money is nano-dollars. */
export class Purse {
  readonly #sql: Sql;
  readonly #rows: BatchRows;
  readonly #counts: Progress;
  readonly #prices: Prices;

  constructor(sql: Sql, rows: BatchRows, counts: Progress, prices: Prices) {
    this.#sql = sql;
    this.#rows = rows;
    this.#counts = counts;
    this.#prices = prices;
  }

  /** What there is to spend now, or undefined when the batch has no budget. */
  means(): Means | undefined {
    const { max_tokens_total = null, max_cost = null } = this.#rows.get() ?? {};
    if (max_tokens_total === null && max_cost === null) return undefined;
    const counts = this.#counts.get();
    const unspent = {
      tokens: orInfinity(max_tokens_total) - counts.input_tokens - counts.output_tokens,
      cost: orInfinity(max_cost) - counts.cost,
    };
    return {
      unspent,
      left: {
        tokens: unspent.tokens - counts.reserved_tokens,
        cost: unspent.cost - counts.reserved_cost,
      },
      alone: counts.running === 0,
      longestOutput: counts.longest_output,
    };
  }

  /**
   * Pays for one call after the other out of what is left now: gives what each is to reserve, or null
   * for one that does not fit. Undefined when the batch has no budget.
   */
  payer(): ((row: NeedRow) => Amount | null) | undefined {
    let means = this.means();
    if (means === undefined) return undefined;
    return (row) => {
      if (means === undefined) return null;
      const may = afford(this.#needOf(row), means);
      if (may.kind !== "fits") return null;
      means = reserveFrom(means, may.reserve);
      return may.reserve;
    };
  }

  /** Tells of a call whether the budget will never pay for it. Undefined when there is no budget. */
  stopper(): ((row: NeedRow) => boolean) | undefined {
    const means = this.means();
    return means && ((row) => afford(this.#needOf(row), means).kind === "stopped");
  }

  /**
   * Reserves for a task's call, in the transaction that claims it.
   *
   * @throws when that would go over the budget; the transaction is undone then.
   */
  reserve(seq: number, { tokens, cost }: Amount): void {
    const left = this.means()?.left;
    if (left === undefined || tokens > left.tokens || cost > left.cost) {
      throw new Error(`task ${seq} was claimed beyond its batch's budget`);
    }
    this.#sql.exec(
      "UPDATE task SET reserved_tokens = ?, reserved_cost = ? WHERE seq = ?",
      tokens,
      cost,
      seq,
    );
    this.#counts.add({ reserved_tokens: tokens, reserved_cost: cost });
  }

  /** What a call took, as a change of the sums. */
  spent(usage: Usage | undefined, { price }: Pick<NeedRow, "price">): ProgressChange {
    if (usage === undefined) return {};
    const { longest_output } = this.#counts.get();
    const known = this.#prices.get(price);
    return {
      ...usage,
      cost: known === undefined ? 0 : costOf(known, usage),
      longest_output: Math.max(0, usage.output_tokens - longest_output),
    };
  }

  #needOf(row: NeedRow): Need {
    return {
      inputTokens: row.input_tokens ?? row.cost,
      outputTokens: row.output_tokens,
      price: this.#prices.get(row.price),
    };
  }
}

function orInfinity(limit: number | null): number {
  return limit ?? Number.POSITIVE_INFINITY;
}
