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

/** What several quotas give together. */
export function together(all: readonly UpstreamLimits[]): UpstreamLimits {
  const [only, another] = all;
  if (only !== undefined && another === undefined) return only;
  const sum = (of: (limits: UpstreamLimits) => number | undefined) =>
    all.reduce<number | undefined>((before, limits) => {
      const one = of(limits);
      return before === undefined || one === undefined ? undefined : before + one;
    }, 0);
  return {
    rpm: sum(({ rpm }) => rpm),
    tpm: sum(({ tpm }) => tpm),
    burst: sum(({ rpm, burst }) => burst ?? (rpm === undefined ? 0 : Math.max(1, rpm / 60))),
    maxConcurrency: all.reduce((before, { maxConcurrency }) => before + maxConcurrency, 0),
  };
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
