import { z } from "zod";
import { nanosOf, type Price } from "../core/price.ts";
import { jsonText } from "./fields.ts";
import { matches } from "./routes.ts";

/** What the models cost whose names match a pattern. */
export interface PatternPrice {
  pattern: string;
  price: Price;
}

const LIST_TAKES =
  'a JSON object of US dollars for a million tokens by model, such as {"gpt-4o-mini*": {"input": 0.15, "output": 0.6, "cached_input": 0.075}}';

/** Past this a price is a slip of the pen, and a sum of costs would lose digits. */
const MOST_A_MILLION = 10_000;
const PRICE_TAKES = `a number of US dollars for a million tokens, 0 to ${MOST_A_MILLION}`;

const dollars = z
  .number({ error: PRICE_TAKES })
  .max(MOST_A_MILLION, PRICE_TAKES)
  .transform((value, context) => {
    const nanos = nanosOf(value);
    if (nanos !== undefined) return nanos;
    context.addIssue({ code: "custom", message: PRICE_TAKES });
    return z.NEVER;
  });

const MEMBERS_TAKE = "an object with the members input, output and, where it differs, cached_input";

/** The variable PRICES: JSON text, or the object itself, as wrangler.toml may hold it. */
export const priceList = jsonText(
  LIST_TAKES,
  z.record(
    z.string().min(1).max(200),
    z.strictObject(
      { input: dollars, output: dollars, cached_input: dollars.optional() },
      { error: MEMBERS_TAKE },
    ),
    { error: LIST_TAKES },
  ),
).transform((list): PatternPrice[] =>
  Object.entries(list).map(([pattern, { input, output, cached_input }]) => ({
    pattern,
    price: { input, output, cachedInput: cached_input ?? input },
  })),
);

/**
 * What a model costs: by its own name, or by the longest pattern that matches it, `*` standing for
 * any text. Undefined when there is none.
 */
export function priceOf(
  prices: readonly PatternPrice[],
  model: string | undefined,
): Price | undefined {
  let best: PatternPrice | undefined;
  for (const one of prices) {
    if (one.pattern === model) return one.price;
    if (one.pattern.length <= (best?.pattern.length ?? -1)) continue;
    if (matches([one.pattern], model ?? "")) best = one;
  }
  return best?.price;
}
