import { type PatternPrice, priceOf } from "./prices.ts";
import { MODEL_NOT_SERVED, unservedBy } from "./routes.ts";
import type { Upstream } from "./upstreams.ts";

/** Why a model cannot be taken: a code, and a sentence that says what is taken instead. */
export interface ModelFault {
  code: string;
  why: string;
}

/** Says of a body's model what keeps a batch from taking it, if anything does. */
export type ModelCheck = (model: string | undefined) => ModelFault | undefined;

/** The code of the error of a model without a price, in a batch that has a max_cost. */
export const MODEL_NOT_PRICED = "model_not_priced";

/** @param inMoney whether the batch has a max_cost, for which every model needs a price. */
export function modelCheck(
  config: { upstreams: readonly Upstream[]; prices: readonly PatternPrice[] },
  endpoint: string,
  inMoney: boolean,
): ModelCheck {
  const unserved = unservedBy(config.upstreams, endpoint);
  const known = new Map<string | undefined, ModelFault | undefined>();
  const check: ModelCheck = (model) => {
    const why = unserved(model);
    if (why !== undefined) return { code: MODEL_NOT_SERVED, why };
    if (!inMoney || priceOf(config.prices, model) !== undefined) return undefined;
    return { code: MODEL_NOT_PRICED, why: unpriced(config.prices, model) };
  };
  return (model) => {
    if (!known.has(model)) known.set(model, check(model));
    return known.get(model);
  };
}

function unpriced(prices: readonly PatternPrice[], model: string | undefined): string {
  const what = model ? `the model '${model.slice(0, 100)}'` : "a body without a model";
  const priced = prices.map(({ pattern }) => pattern).join(", ");
  const known = priced === "" ? "no model has one" : `priced are: ${priced}`;
  return `a batch with max_cost takes models that PRICES has a price for, and ${what} has none; ${known}.`;
}
