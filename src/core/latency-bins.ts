/**
 * Latencies in bins that can be added up over time and over pages: bin k holds what is nearest to
 * 2^(k/4) milliseconds, so a percentile read from them is within 9 % of the true one.
 */

/** The bin of a latency in milliseconds. */
export function binOf(ms: number): number {
  return Math.round(4 * Math.log2(Math.max(1, ms)));
}

/** The latency, in milliseconds, that a bin stands for. */
export function msOf(bin: number): number {
  return 2 ** (bin / 4);
}

/**
 * The latency below which a share of all calls stayed, by the nearest-rank method.
 *
 * @param bins calls by bin
 * @param share 0 to 1
 * @returns milliseconds, or undefined without a call
 */
export function percentile(
  bins: Iterable<readonly [bin: number, calls: number]>,
  share: number,
): number | undefined {
  const sorted = [...bins].sort(([a], [b]) => a - b);
  const total = sorted.reduce((sum, [, calls]) => sum + calls, 0);
  let rank = Math.max(1, Math.ceil(share * total));
  for (const [bin, calls] of sorted) {
    rank -= calls;
    if (rank <= 0) return msOf(bin);
  }
  return undefined;
}
