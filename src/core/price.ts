import type { Usage } from "./usage.ts";

/**
 * Money, exactly: whole nano-dollars (10⁻⁹ USD), never fractions of a float. Prices are nano-dollars
 * for a million tokens, so that the $0.0375 of a price list is a whole number too.
 */

/** What a million tokens cost, in nano-dollars. */
export interface Price {
  input: number;
  /** Of input that came from the upstream's prompt cache. */
  cachedInput: number;
  output: number;
}

const NANO_DIGITS = 9;
const NANOS = 1_000_000_000;

/** More than any budget: past it sums would lose their last digits. */
export const MOST_DOLLARS = 1_000_000;

/**
 * A number of dollars in nano-dollars, by the decimal digits that it is written with; what is less
 * than a nano-dollar is cut off. Undefined when it is negative, no number, or over a million.
 */
export function nanosOf(dollars: number): number | undefined {
  if (!(dollars >= 0 && dollars <= MOST_DOLLARS)) return undefined;
  // The shortest decimal that means this double is what somebody wrote: 0.15 and not 0.1499999….
  const [digits = "", exponent = "0"] = `${dollars}`.split("e");
  const [integer = "", fraction = ""] = digits.split(".");
  const point = integer.length + Number(exponent) + NANO_DIGITS;
  const nanos = `${integer}${fraction}`
    .padEnd(Math.max(0, point), "0")
    .slice(0, Math.max(0, point));
  return Number(nanos || "0");
}

/** Nano-dollars as dollars. Fifteen digits are exact, and a million dollars has no more. */
export function dollarsOf(nanos: number): number {
  return nanos / NANOS;
}

/** What these tokens cost, in nano-dollars, rounded up. Exact whatever the size of the numbers. */
export function costOf(
  price: Price,
  usage: Pick<Usage, "input_tokens" | "cached_tokens" | "output_tokens">,
): number {
  const cached = Math.min(usage.cached_tokens, usage.input_tokens);
  const fresh = usage.input_tokens - cached;
  const parts: [tokens: number, price: number][] = [
    [fresh, price.input],
    [cached, price.cachedInput],
    [usage.output_tokens, price.output],
  ];
  const millionths = parts.reduce((sum, [tokens, each]) => sum + BigInt(tokens) * BigInt(each), 0n);
  const nanos = (millionths + 999_999n) / 1_000_000n;
  return nanos > MOST_NANOS ? Number(MOST_NANOS) : Number(nanos);
}

const MOST_NANOS = BigInt(Number.MAX_SAFE_INTEGER);
