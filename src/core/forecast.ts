import type { UpstreamLimits } from "./limits.ts";

/** Calls that are to be made against one quota. */
export interface Load {
  calls: number;
  /** Input and output together; where an answer's length is not bounded, as it is assumed. */
  tokens: number;
  outputTokens: number;
}

/** How long a load takes, at the least, and what holds it there. */
export interface Forecast {
  ms: number;
  boundBy: "requests" | "tokens" | "calls in flight";
}

/** A call is assumed to take this long, and so much for each token of its answer. */
const FIRST_TOKEN_MS = 500;
const TOKEN_MS = 15;

/**
 * The time a load needs under a quota's limits: what no scheduler can beat, by each limit alone, and
 * the longest of them. Requests and tokens come out of their buckets (after the burst); calls in
 * flight take as long as calls of that length are assumed to.
 */
export function forecast(load: Load, limits: UpstreamLimits): Forecast {
  const { calls, tokens, outputTokens } = load;
  const callMs = FIRST_TOKEN_MS + (TOKEN_MS * outputTokens) / Math.max(1, calls);
  const { rpm, tpm, maxConcurrency } = limits;
  const burst = limits.burst ?? Math.max(1, (rpm ?? 0) / 60);
  const bounds: Forecast[] = [
    { ms: Math.ceil(calls / maxConcurrency) * callMs, boundBy: "calls in flight" },
  ];
  if (rpm !== undefined) {
    bounds.push({ ms: (60_000 * Math.max(0, calls - burst)) / rpm + callMs, boundBy: "requests" });
  }
  if (tpm !== undefined) {
    bounds.push({ ms: (60_000 * tokens) / tpm + callMs, boundBy: "tokens" });
  }
  return bounds.reduce((longest, one) => (one.ms > longest.ms ? one : longest));
}
