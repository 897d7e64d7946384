import { z } from "zod";

/** A whole number; whatever is wrong with it, both of its bounds are told. */
export function whole(least: number, most: number) {
  const takes = `takes a whole number from ${least} to ${most}`;
  return z.number(takes).int(takes).min(least, takes).max(most, takes);
}

/**
 * The same in a query. It takes the digits that the number is printed with and no other way to write
 * it: no empty text, which would be 0, no `1e2`, ` 5`, `+5`, `05`, `5.0` or `0x10`.
 */
export function wholeInText(least: number, most: number) {
  return z.preprocess(numberOf, whole(least, most));
}

/** The number that a text is, or what it was given. */
export function numberOf(text: unknown): unknown {
  const number = Number(text);
  return Number.isSafeInteger(number) && String(number) === text ? number : text;
}
