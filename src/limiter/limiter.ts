import { DurableObject } from "cloudflare:workers";
import { SQLSchemaMigrations } from "durable-utils/sql-migrations";
import { quotaNamed } from "../config/routes.ts";
import { readConfig } from "../config.ts";
import { log } from "../log.ts";
import { batchStub } from "../stubs.ts";
import type { BatchRef } from "../wire/messages.ts";
import type { AcquireReply, AcquireRequest } from "./acquire.ts";
import { LimiterEngine, type LimiterState } from "./engine.ts";
import { migrations } from "./schema.ts";
import { LimiterStore } from "./store.ts";

/**
 * One quota of an upstream, as an object named after it: every call that counts against it, of all
 * batches of all projects, has a permit from here. What it does is in engine.ts.
 */
export class Limiter extends DurableObject<Env> {
  #engine: LimiterEngine | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      await new SQLSchemaMigrations({ doStorage: ctx.storage, migrations }).runAll();
      this.#engine = new LimiterEngine(new LimiterStore(ctx.storage.sql));
    });
  }

  /** See {@link LimiterEngine.acquire}. */
  acquire(request: AcquireRequest): AcquireReply {
    const limits = quotaNamed(readConfig(this.env).upstreams, request.quota)?.limits;
    const engine = this.#started();
    const { reply, wake, decided } = engine.acquire(request, limits, Date.now(), Math.random());
    for (const event of decided) log(event);
    this.#wake(wake, request.quota);
    return reply;
  }

  /** See {@link LimiterEngine.announce}. @param quota whose Limiter this is. */
  announce(ref: BatchRef, weight: number, wanted: number, quota: string): void {
    this.#wake(this.#started().announce(ref, weight, wanted, Date.now()), quota);
  }

  /** See {@link LimiterEngine.state}. @param quota whose Limiter this is. */
  state(quota: string): LimiterState {
    const limits = quotaNamed(readConfig(this.env).upstreams, quota)?.limits;
    return this.#started().state(limits);
  }

  #wake(refs: readonly BatchRef[], quota: string): void {
    for (const ref of refs) {
      // One that cannot be told asks by itself, a little later.
      this.ctx.waitUntil(
        batchStub(this.env, ref)
          .wake(quota)
          .catch(() => undefined),
      );
    }
  }

  #started(): LimiterEngine {
    if (this.#engine === undefined) throw new Error("the Limiter's constructor has not finished");
    return this.#engine;
  }
}
