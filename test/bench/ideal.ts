import { TokenBucket } from "../../src/simulator/token-bucket.ts";

/** What no scheduler can beat, and what an ideal first-come queue needs. Times are milliseconds. */

/** One upstream call as the simulator carries it out. */
export interface Attempt {
  /** How long it keeps its lane. */
  holdsMs: number;
  /** How long its task waits before it is tried again; of no meaning for the last one. */
  thenWaitMs: number;
}

/** A task as the simulator has drawn it, in the order of the input. */
export interface DrawnTask {
  /** How long its answer takes. */
  latencyMs: number;
  /** What its answer counts against a limit on tokens. */
  tokens: number;
  /** All its calls, the last of them the answer. */
  attempts: readonly Attempt[];
}

/** What a workload's calls are limited by. */
export interface Ceilings {
  lanes: number;
  rpm?: number | undefined;
  burst?: number | undefined;
  tpm?: number | undefined;
  tokenBurst?: number | undefined;
}

/**
 * The largest of: calls ÷ rate and tokens ÷ rate, each after its burst; the sum of latencies ÷
 * lanes; the longest latency. Faults are left out: they make it longer, never shorter.
 */
export function boundMs(tasks: readonly DrawnTask[], ceilings: Ceilings): number {
  const { lanes, rpm, burst, tpm, tokenBurst } = ceilings;
  const tokens = sum(tasks.map((task) => task.tokens));
  const latencies = tasks.map(({ latencyMs }) => latencyMs);
  return Math.max(
    afterBurstMs(tasks.length, rpm, burst),
    afterBurstMs(tokens, tpm, tokenBurst),
    sum(latencies) / lanes,
    latencies.reduce((longest, ms) => Math.max(longest, ms), 0),
  );
}

function afterBurstMs(amount: number, perMinute = Number.POSITIVE_INFINITY, burst = perMinute) {
  return (Math.max(0, amount - burst) * 60_000) / perMinute || 0;
}

/**
 * How long a first-come queue takes that hands out without loss: a lane that is free takes the next
 * task in the order of the input, a task to be tried again as soon as its wait is over, and neither
 * before the limits let it in.
 */
export function idealQueueMs(tasks: readonly DrawnTask[], ceilings: Ceilings): number {
  const lanes = new Heap<number>((freeAtMs) => freeAtMs);
  for (let lane = 0; lane < ceilings.lanes; lane += 1) lanes.push(0);
  const again = new Heap<Waiting>(({ atMs }) => atMs);
  const gate = new Gate(ceilings);
  let fresh = 0;
  let endMs = 0;
  for (;;) {
    const freeAtMs = lanes.pop() ?? 0;
    const due = again.peek();
    let next: Waiting | undefined;
    if (due !== undefined && (due.atMs <= freeAtMs || fresh === tasks.length)) {
      next = again.pop();
    } else {
      const task = tasks[fresh];
      fresh += 1;
      next = task && { task, attempt: 0, atMs: 0 };
    }
    if (next === undefined) return endMs;
    const { task, attempt } = next;
    const call = task.attempts[attempt];
    if (call === undefined) throw new Error("a task without calls");
    const startMs = gate.letIn(Math.max(freeAtMs, next.atMs), task.tokens);
    const atMs = startMs + call.holdsMs;
    lanes.push(atMs);
    endMs = Math.max(endMs, atMs);
    if (attempt + 1 < task.attempts.length) {
      again.push({ task, attempt: attempt + 1, atMs: atMs + call.thenWaitMs });
    }
  }
}

interface Waiting {
  task: DrawnTask;
  attempt: number;
  atMs: number;
}

/** The simulator's own buckets, asked for the first moment at which a call would be let in. */
class Gate {
  readonly #buckets: { bucket: TokenBucket; cost: (tokens: number) => number }[] = [];
  #lastMs = 0;

  constructor({ rpm, burst, tpm, tokenBurst }: Ceilings) {
    const add = (perMinute: number, capacity: number, cost: (tokens: number) => number) =>
      this.#buckets.push({ bucket: new TokenBucket(perMinute, capacity, 0), cost });
    if (rpm !== undefined) add(rpm, burst ?? rpm, () => 1);
    if (tpm !== undefined) add(tpm, tokenBurst ?? tpm, (tokens) => tokens);
  }

  letIn(fromMs: number, tokens: number): number {
    // First come: nobody overtakes who was let in last.
    let atMs = Math.max(fromMs, this.#lastMs);
    for (const { bucket, cost } of this.#buckets) atMs += bucket.waitMs(cost(tokens), atMs);
    for (const { bucket, cost } of this.#buckets) bucket.take(cost(tokens), atMs);
    if (this.#buckets.length > 0) this.#lastMs = atMs;
    return atMs;
  }
}

/** A binary heap: the smallest first. */
class Heap<T> {
  readonly #rows: T[] = [];
  readonly #keyOf: (row: T) => number;

  constructor(keyOf: (row: T) => number) {
    this.#keyOf = keyOf;
  }

  peek(): T | undefined {
    return this.#rows[0];
  }

  push(row: T): void {
    const rows = this.#rows;
    let at = rows.length;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = rows[parentAt];
      if (parent === undefined || this.#keyOf(parent) <= this.#keyOf(row)) break;
      rows[at] = parent;
      at = parentAt;
    }
    rows[at] = row;
  }

  pop(): T | undefined {
    const rows = this.#rows;
    const first = rows[0];
    const last = rows.pop();
    if (last === undefined || rows.length === 0) return first;
    let at = 0;
    for (;;) {
      let childAt = at * 2 + 1;
      let child = rows[childAt];
      const other = rows[childAt + 1];
      if (child === undefined) break;
      if (other !== undefined && this.#keyOf(other) < this.#keyOf(child)) {
        childAt += 1;
        child = other;
      }
      if (this.#keyOf(last) <= this.#keyOf(child)) break;
      rows[at] = child;
      at = childAt;
    }
    rows[at] = last;
    return first;
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
