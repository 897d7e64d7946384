import type { Upstream } from "../../src/config/upstreams.ts";
import type { Config } from "../../src/config.ts";
import type { Chance } from "./chance.ts";

/** How likely each fault is in one seed; 0 for those it does without. */
export interface Faults {
  /** A call between objects that fails, or whose reply is lost. */
  rpc: number;
  /** A pointer that is lost, or delivered twice. */
  pointer: number;
  /** An exchange whose request or reply is lost, or that breaks while the Batch works on it. */
  exchange: number;
  evictBatch: number;
  evictLimiter: number;
  /** A consumer that is gone without a word. */
  killConsumer: number;
  /** A consumer that says nothing for a while and then goes on: a zombie. */
  freezeConsumer: number;
  cancel: number;
  pause: number;
  retry: number;
  resend: number;
  /** A client creates, changes or deletes webhook endpoints. */
  endpoints: number;
  /** A client changes the batch's own limit. */
  change: number;
  poke: number;
  /** A client deletes a batch; one that has not ended stays. */
  remove: number;
  /** Alarms that come late. */
  lateAlarm: number;
  /** An upstream answers nobody for a while. */
  outage: number;
}

/** How likely each answer of the upstream is. */
export interface Answers {
  succeeded: number;
  failed: number;
  retry: number;
  throttled: number;
  unauthorized: number;
}

/** Everything a seed decides before its first step. */
export interface Plan {
  config: Config;
  /** Steps with faults; then they stop and all must come to an end. */
  steps: number;
  batches: number;
  /** How likely a batch has a budget, of either kind. */
  budgets: number;
  /** How likely a batch is a pool. */
  pools: number;
  /** Consumer invocations that the queue runs at once. */
  consumers: number;
  faults: Faults;
  answers: Answers;
}

/**
 * Draws a plan. Each fault is absent in about half of the seeds: where all happen all the time,
 * each one hides what the others would show.
 */
export function drawPlan(chance: Chance): Plan {
  const calm = chance.maybe(0.08);
  const at = (weight: number) =>
    calm || chance.maybe(0.5) ? 0 : weight * (0.3 + chance.next() * 1.7);
  const names = chance.maybe(0.4) ? ["default"] : ["default", "second"];
  const outage = at(1);
  return {
    config: {
      apiKeys: [],
      adminKey: undefined,
      quotas: { openBatches: null, waitingTasks: null, storedBytes: null, requestsPerMinute: null },
      upstreams: names.map((name) => drawUpstream(name, names.length > 1 ? 3 : 8, chance)),
      prices: [
        { pattern: "m", price: { input: 1_000_000, cachedInput: 500_000, output: 4_000_000 } },
        { pattern: "*", price: { input: 3_333_333, cachedInput: 0, output: 7_777_777 } },
      ],
      upstreamAllowPrivate: true,
      webhookAllowPrivate: false,
      subrequests: chance.pick([10, 50, 9_000, 9_000]),
      retentionMs: (chance.maybe(0.2) ? 1 : 720) * 3_600_000,
      ...lanesOf(chance.between(1, 5)),
      claimTtlMs: chance.pick([5_000, 10_000, 30_000]),
      retry: { maxAttempts: chance.between(1, 4), baseMs: 500, maxMs: 60_000 },
    },
    // It takes some calls to go down, some to come back.
    steps: chance.between(60, 240) + (outage > 0 ? 240 : 0),
    batches: chance.between(1, 4),
    budgets: chance.maybe(0.35) ? 0.5 : 0,
    pools: chance.pick([0, 0.5, 1]),
    consumers: chance.between(1, 4),
    faults: {
      rpc: at(0.12),
      pointer: at(1.5),
      exchange: at(0.12),
      evictBatch: at(0.5),
      evictLimiter: at(0.2),
      killConsumer: at(0.3),
      freezeConsumer: at(0.3),
      cancel: at(0.12),
      pause: at(0.3),
      retry: at(0.4),
      resend: at(0.1),
      endpoints: at(0.4),
      change: at(0.4),
      poke: at(0.1),
      remove: at(0.1),
      lateAlarm: at(0.4),
      outage,
    },
    answers: {
      succeeded: 6,
      failed: at(1.5),
      retry: at(5),
      throttled: at(3),
      unauthorized: at(chance.maybe(0.3) ? 20 : 1),
    },
  };
}

/** @param most calls in flight; few where there are others, so that they are needed. */
function drawUpstream(name: string, most: number, chance: Chance): Upstream {
  const maybe = <T>(probability: number, value: T) =>
    chance.maybe(probability) ? value : undefined;
  const rpm = maybe(0.4, chance.pick([30, 120, 600, 6000]));
  const limits = {
    rpm,
    burst: rpm === undefined ? undefined : maybe(0.5, chance.between(1, 10)),
    tpm: maybe(0.2, chance.pick([20_000, 200_000])),
    maxConcurrency: chance.between(1, most),
  };
  return {
    name,
    baseUrl: `http://${name}.test/v1`,
    apis: ["openai"],
    models: ["*"],
    quotas: [{ name, models: ["*"], limits }],
    timeoutMs: 30_000,
    streamChat: false,
    idleTimeoutMs: 60_000,
  };
}

function lanesOf(lanes: number) {
  return { lanes, streamLanes: lanes, sliceMs: undefined, background: false };
}
