import { quoted } from "../core/quoted.ts";
import { type PatternPrice, priceOf } from "./prices.ts";
import { MODEL_NOT_SERVED, routesOf, unservedBy } from "./routes.ts";
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

/** The code of the error of a model whose ways, or quotas on them, are others than the batch's others have. */
export const MODELS_APART = "models_apart";

/**
 * @param inMoney whether the batch has a max_cost, for which every model needs a price.
 * @param first the model of the batch's first task, when it is known already. All of its models go
 *   where that one goes, and count against the same quotas there.
 */
export function modelCheck(
  config: { upstreams: readonly Upstream[]; prices: readonly PatternPrice[] },
  endpoint: string,
  inMoney: boolean,
  first?: { model: string | undefined },
): ModelCheck {
  const unserved = unservedBy(config.upstreams, endpoint);
  const waysOf = (model: string | undefined) =>
    routesOf(config.upstreams, endpoint, model ?? "")
      .map(({ quota }) => quota.name)
      .join("\n");
  let of = first;
  const known = new Map<string | undefined, ModelFault | undefined>();
  const check: ModelCheck = (model) => {
    const why = unserved(model);
    if (why !== undefined) return { code: MODEL_NOT_SERVED, why };
    of ??= { model };
    if (waysOf(model) !== waysOf(of.model)) {
      const [mine, theirs] = [model ?? "", of.model ?? ""].map(quoted);
      const apart = `the model '${mine}' has other limits than '${theirs}', the first of this batch, or other upstreams; send it as a batch of its own.`;
      return { code: MODELS_APART, why: apart };
    }
    if (!inMoney || priceOf(config.prices, model) !== undefined) return undefined;
    return { code: MODEL_NOT_PRICED, why: unpriced(config.prices, model) };
  };
  return (model) => {
    if (!known.has(model)) known.set(model, check(model));
    return known.get(model);
  };
}

function unpriced(prices: readonly PatternPrice[], model: string | undefined): string {
  const what = model ? `the model '${quoted(model)}'` : "a body without a model";
  const priced = prices.map(({ pattern }) => pattern).join(", ");
  const known = priced === "" ? "no model has one" : `priced are: ${priced}`;
  return `a batch with max_cost takes models that PRICES has a price for, and ${what} has none; ${known}.`;
}
