import type { BucketLimits } from "./bucket.ts";
import type { Limits } from "./deal.ts";
import { usedOf } from "./learned.ts";

/** An upstream's limits as configured; a limit that is absent is not enforced. */
export interface UpstreamLimits {
  /** Requests a minute. */
  rpm?: number | undefined;
  /** Tokens a minute. */
  tpm?: number | undefined;
  /** Requests that may start at once. */
  burst?: number | undefined;
  /** Calls in flight. */
  maxConcurrency: number;
  /** Nobody said how many calls in flight are fine: it begins with few. */
  probes?: boolean | undefined;
}

/** Seconds' worth of tokens that may be taken at once. */
const TOKEN_BURST_S = 10;

/** The requests bucket of these limits, or undefined when requests are not limited. */
export function requestLimits(limits: UpstreamLimits): BucketLimits | undefined {
  if (limits.rpm === undefined) return undefined;
  const burst = limits.burst ?? Math.ceil(limits.rpm / 60);
  return usedOf({ perMinute: limits.rpm, burst });
}

/** The tokens bucket of these limits, or undefined when tokens are not limited. */
export function tokenLimits(limits: UpstreamLimits): BucketLimits | undefined {
  if (limits.tpm === undefined) return undefined;
  return usedOf({ perMinute: limits.tpm, burst: (limits.tpm / 60) * TOKEN_BURST_S });
}

/** All of them as they are enforced. */
export function limitsOf(limits: UpstreamLimits): Limits {
  return {
    requests: requestLimits(limits),
    tokens: tokenLimits(limits),
    maxConcurrency: limits.maxConcurrency,
    probes: limits.probes,
  };
}
