import { chance, textSalt } from "./chance.ts";
import type { Latency } from "./settings.ts";

/** The latency of a call in whole milliseconds: a function of seed, prompt and model alone. */
export function drawLatencyMs(
  latency: Latency,
  seed: number,
  digest: string,
  model: string,
): number {
  if (latency.kind === "fixed") return Math.round(latency.ms);
  const salt = textSalt(model);
  // 1 - chance: in (0, 1], because the logarithm of 0 is infinite.
  const radius = Math.sqrt(-2 * Math.log(1 - chance(digest, seed, salt ^ 0x6c61)));
  const normal = radius * Math.cos(2 * Math.PI * chance(digest, seed, salt ^ 0x7463));
  const ms = latency.medianMs * Math.exp(latency.sigma * normal);
  return Math.round(Math.min(ms, latency.maxMs ?? 2 ** 31 - 1));
}
