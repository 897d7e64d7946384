import { costOf, type Price } from "./price.ts";

/**
 * A batch's budget: what it may spend in tokens and in money. A call is reserved with all it may
 * take before it begins, and settled with what its answer says it took; so the budget is exceeded
 * by no more than the calls that are in flight when their answers turn out longer than reserved.
 */

/** Tokens, and nano-dollars. */
export interface Amount {
  tokens: number;
  cost: number;
}

/** What there is to spend. A limit that is not set is Infinity. */
export interface Means {
  /** Of the budget, what is neither spent nor reserved. */
  left: Amount;
  /** Of the budget, what is not spent: `left`, if every call in flight turned out to be free. */
  unspent: Amount;
  /** Whether no call is in flight. */
  alone: boolean;
  /** Tokens of the longest output so far; 0 before the first. */
  longestOutput: number;
}

/** What one call may take. */
export interface Need {
  inputTokens: number;
  /** What its body allows it to write; null when it says nothing. */
  outputTokens: number | null;
  price: Price | undefined;
}

/** Whether a call may begin. */
export type Fit =
  /** It may, with this reserved. */
  | { kind: "fits"; reserve: Amount }
  /** Not now: what is in flight may leave enough for it. */
  | { kind: "waits" }
  /** Not any more: whatever is in flight, too much is spent. */
  | { kind: "stopped" };

/**
 * Whether a call fits the budget. One whose body sets no limit to its output is taken to write as
 * much as the longest answer so far; while that is not known, or would not fit, it goes alone, with
 * all that is left reserved for it. So an unlimited call never waits for ever, and never has company
 * that could overspend with it.
 */
export function afford(need: Need, means: Means): Fit {
  const { left, unspent, alone, longestOutput } = means;
  if (need.outputTokens !== null) {
    const reserve = amountOf(need, need.outputTokens);
    if (within(reserve, left)) return { kind: "fits", reserve };
    return within(reserve, unspent) ? { kind: "waits" } : { kind: "stopped" };
  }
  const known = amountOf(need, longestOutput);
  if (longestOutput > 0 && within(known, left)) return { kind: "fits", reserve: known };
  if (!within(amountOf(need, 1), unspent)) return { kind: "stopped" };
  if (!alone) return { kind: "waits" };
  return {
    kind: "fits",
    reserve: {
      tokens: Number.isFinite(left.tokens) ? left.tokens : known.tokens,
      cost: Number.isFinite(left.cost) ? left.cost : known.cost,
    },
  };
}

/** What is left once this is reserved. */
export function reserveFrom(means: Means, reserve: Amount): Means {
  const left = {
    tokens: means.left.tokens - reserve.tokens,
    cost: means.left.cost - reserve.cost,
  };
  return { ...means, left, alone: false };
}

/** The most a call takes when it writes so much: nothing of its input is cached. */
export function amountOf({ inputTokens, price }: Need, outputTokens: number): Amount {
  const usage = { input_tokens: inputTokens, cached_tokens: 0, output_tokens: outputTokens };
  return {
    tokens: inputTokens + outputTokens,
    cost: price === undefined ? 0 : costOf(price, usage),
  };
}

function within(amount: Amount, of: Amount): boolean {
  return amount.tokens <= of.tokens && amount.cost <= of.cost;
}
