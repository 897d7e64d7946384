import { quotaNamed } from "../../src/config/routes.ts";
import type { AcquireReply, AcquireRequest } from "../../src/limiter/acquire.ts";
import { LimiterEngine } from "../../src/limiter/engine.ts";
import { type HoldRow, migrations } from "../../src/limiter/schema.ts";
import { LimiterStore } from "../../src/limiter/store.ts";
import type { BatchRef } from "../../src/wire/messages.ts";
import { type Simulation, Violation } from "./simulation.ts";
import { type Handle, SqliteFile } from "./sqlite.ts";

/** The Limiter object of one upstream. */
export class SimulatedLimiter {
  readonly quota: string;
  readonly file = new SqliteFile(migrations);
  readonly #simulation: Simulation;
  /** When each batch's own word on its calls in flight last arrived. */
  readonly #heardAtMs = new Map<string, number>();
  #handle: Handle;
  #engine: LimiterEngine;

  constructor(simulation: Simulation, quota: string) {
    this.quota = quota;
    this.#simulation = simulation;
    [this.#handle, this.#engine] = this.#start();
  }

  acquire(request: AcquireRequest): AcquireReply {
    const { nowMs, chance, plan } = this.#simulation;
    this.#heardAtMs.set(request.ref.batch_id, nowMs);
    if (request.quota !== this.quota) {
      throw new Violation(`the Limiter of ${this.quota} was asked for ${request.quota}`);
    }
    const limits = quotaNamed(plan.config.upstreams, request.quota)?.limits;
    const { reply, wake } = this.#engine.acquire(request, limits, nowMs, chance.next());
    for (const ref of wake) this.#simulation.call(ref, this);
    if (reply.down) {
      this.#simulation.say(
        `    ${this.quota} is known to be down, ${reply.startInMs.length} may go`,
      );
    }
    if (reply.down && request.elsewhere !== undefined && reply.startInMs.length > 1) {
      throw new Violation(`${reply.startInMs.length} calls may go to ${this.quota}, which is down`);
    }
    return reply;
  }

  announce(ref: BatchRef, weight: number, wanted: number): void {
    const wake = this.#engine.announce(ref, weight, wanted, this.#simulation.nowMs);
    for (const other of wake) this.#simulation.call(other, this);
  }

  /** When a batch last said how many calls it has in flight. */
  heardAtMs(ref: BatchRef): number | undefined {
    return this.#heardAtMs.get(ref.batch_id);
  }

  holds(): HoldRow[] {
    return this.file.rows<HoldRow>("SELECT * FROM hold");
  }

  evict(): void {
    this.#handle.kill();
    [this.#handle, this.#engine] = this.#start();
  }

  #start(): [Handle, LimiterEngine] {
    const handle = this.file.open(this.#simulation.options.rewrite);
    return [handle, new LimiterEngine(new LimiterStore(handle.sql))];
  }
}
