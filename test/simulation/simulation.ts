import { Store } from "../../src/batch/store/store.ts";
import type { Database } from "../../src/core/sql.ts";
import type { BatchRef, Pointer } from "../../src/wire/messages.ts";
import type { SimulatedBatch } from "./batch.ts";
import { Chance } from "./chance.ts";
import type { Invocation } from "./consumer.ts";
import type { Exchange } from "./exchange.ts";
import { SimulatedLimiter } from "./limiter.ts";
import { drawPlan, type Plan } from "./plan.ts";
import { SimulatedProject } from "./project.ts";
import { Rpcs } from "./rpcs.ts";
import type { Rewrite } from "./sqlite.ts";

/** A promise of Muster that does not hold. */
export class Violation extends Error {}

/** What a test may replace, to see that the invariants notice. */
export interface Options {
  store: (database: Database) => Store;
  rewrite: Rewrite;
  /** Gets each line of the trace as it is written. */
  tell?: (line: string) => void;
}

/** Trace lines that are kept for a failure. */
const KEPT_LINES = 40;

/** Everything there is in one simulated world. What may happen to it next is in moves.ts. */
export class Simulation {
  readonly seed: number;
  readonly chance: Chance;
  readonly plan: Plan;
  readonly options: Options;
  readonly rpcs = new Rpcs();
  /** One for each upstream, in their order. */
  readonly limiters: readonly SimulatedLimiter[];
  /** Upstreams that answer nobody. */
  readonly down = new Set<string>();
  readonly projects = new Map<string, SimulatedProject>();
  batches: SimulatedBatch[] = [];
  /** Pointers on the queue. */
  queue: Pointer[] = [];
  invocations: Invocation[] = [];
  exchanges: Exchange[] = [];
  invocationsBegun = 0;
  nowMs = Date.UTC(2026, 0, 1);
  /** Whether faults still happen. */
  chaos = true;
  /** The first thing that went wrong where nobody could throw it. */
  failure: Error | undefined;
  readonly trace: string[] = [];

  constructor(seed: number, options: Partial<Options> = {}) {
    this.seed = seed;
    this.chance = new Chance(seed);
    this.plan = drawPlan(this.chance);
    // One that is down before the first call is down for long enough to be known to be.
    const [first] = this.plan.config.upstreams;
    if (first && this.plan.faults.outage > 0 && this.chance.maybe(0.5)) this.down.add(first.name);
    this.options = {
      store: (database) => new Store(database),
      rewrite: (query) => query,
      ...options,
    };
    this.limiters = this.plan.config.upstreams.map(({ name }) => new SimulatedLimiter(this, name));
  }

  /** Adds a line to the trace. */
  say(line: string): void {
    const seconds = ((this.nowMs - Date.UTC(2026, 0, 1)) / 1000).toFixed(3);
    const told = `${seconds.padStart(10)}  ${line}`;
    this.trace.push(told);
    if (this.trace.length > KEPT_LINES) this.trace.shift();
    this.options.tell?.(told);
  }

  /** Looks after work that nobody awaits: it is never to throw. */
  watch<T>(work: Promise<T>, then: (value: T) => void): void {
    work.then(then).catch((error: unknown) => {
      this.failure ??= error instanceof Error ? error : new Error(String(error));
    });
  }

  enqueue(pointer: Pointer): void {
    this.queue.push(pointer);
  }

  projectOf(name: string): SimulatedProject {
    const found = this.projects.get(name) ?? new SimulatedProject(this);
    this.projects.set(name, found);
    return found;
  }

  batchOf(batchId: string): SimulatedBatch {
    const found = this.batches.find(({ ref }) => ref.batch_id === batchId);
    if (found === undefined) throw new Violation(`there is no batch ${batchId}`);
    return found;
  }

  limiterOf(quota: string): SimulatedLimiter {
    const found = this.limiters.find((limiter) => limiter.quota === quota);
    if (found === undefined) throw new Violation(`there is no Limiter of ${quota}`);
    return found;
  }

  /** A Limiter calls a batch; that may come late, or never. */
  call(ref: BatchRef, limiter: SimulatedLimiter): void {
    const latestMs = this.nowMs + this.rpcTimeMs();
    const called = () => {
      const batch = this.batchOf(ref.batch_id);
      if (!batch.gone) batch.engine.wake(limiter.quota);
    };
    this.rpcs
      .start(`wake of ${ref.batch_id.slice(-4)}`, limiter, latestMs, called)
      .catch(() => undefined);
  }

  /** How late an alarm may come. */
  alarmDelayMs(): number {
    const { chance, plan, chaos } = this;
    return chaos && chance.maybe(plan.faults.lateAlarm) ? chance.between(1, 5_000) : 0;
  }

  /** How long a call between objects may take. */
  rpcTimeMs(): number {
    return this.chaos ? this.chance.pick([50, 200, 1_000, 5_000, 15_000]) : 50;
  }

  /** What a webhook's receiver does with the next delivery. */
  receiverAnswers(): "accepts" | "down" | "busy" | "gone" {
    if (!this.chaos) return "accepts";
    const drawn = this.chance.next();
    return drawn < 0.5 ? "accepts" : drawn < 0.8 ? "down" : drawn < 0.9 ? "busy" : "gone";
  }

  /** Gives memory back. */
  close(): void {
    for (const { file } of this.limiters) file.close();
    for (const { file } of this.batches) file.close();
    for (const { file } of this.projects.values()) file.close();
  }
}

/** Lets everything run that can run without the driver. */
export function settle(): Promise<void> {
  // Immediates run once no promise has anything left to do.
  return new Promise((resolve) => setImmediate(resolve));
}
