import type { Simulator, SimulatorSettings } from "../simulator/index.ts";
import type { Settings } from "./settings.ts";

/**
 * The simulator that stands in for an upstream: it answers like a quick model, without faults, and
 * holds the limits that were set for the upstream, so that they can be seen at work.
 */
export function simulatorSettings({ upstreams, vars }: Settings): SimulatorSettings {
  const { rpm, tpm, burst, maxConcurrency } = upstreams[0]?.quotas[0].limits ?? {};
  const limits: NonNullable<SimulatorSettings["limits"]> = {};
  if (rpm !== undefined) {
    limits.rpm = rpm;
    limits.burst = burst ?? Math.max(1, Math.ceil(rpm / 60));
  }
  if (tpm !== undefined) limits.tpm = tpm;
  if (vars.UPSTREAM_MAX_CONCURRENCY !== undefined) limits.concurrency = maxConcurrency;
  return {
    latency: { kind: "lognormal", medianMs: 250, sigma: 0.5, maxMs: 5_000 },
    limits,
  };
}

/** What tells Muster to call a simulator, which speaks as OpenAI and as Anthropic do. */
export function simulatorVars(simulator: Simulator): Record<string, string> {
  return {
    UPSTREAM_BASE_URL: simulator.url,
    UPSTREAM_API: "openai,anthropic",
    UPSTREAM_ALLOW_PRIVATE: "1",
  };
}
