import { DurableObject } from "cloudflare:workers";
import { SQLSchemaMigrations } from "durable-utils/sql-migrations";
import { quotaNamed } from "../config/routes.ts";
import { readConfig } from "../config.ts";
import { log } from "../log.ts";
import { batchStub } from "../stubs.ts";
import type { BatchRef } from "../wire/messages.ts";
import type { AcquireReply, AcquireRequest } from "./acquire.ts";
import { LimiterEngine, type LimiterState } from "./engine.ts";
import { keyOf } from "./names.ts";
import { migrations } from "./schema.ts";
import { Listeners } from "./single-calls.ts";
import { LimiterStore } from "./store.ts";

/**
 * One quota of an upstream, as an object named after it: every call that counts against it, of all
 * batches of all projects, has a permit from here. What it does is in engine.ts.
 */
export class Limiter extends DurableObject<Env> {
  #engine: LimiterEngine | undefined;
  readonly #listeners = new Listeners();

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
    const acquired = engine.acquire(request, limits, Date.now(), Math.random());
    for (const event of acquired.decided) log(event);
    this.#wake(acquired.wake, request.quota);
    for (const ref of acquired.turns) this.#listeners.call(keyOf(ref));
    return acquired.reply;
  }

  /**
   * Waits until a single call is to ask again: because a call is kept for it, or because the time has
   * come that it was told.
   *
   * @param withinMs and no longer than that.
   */
  async turn(ref: BatchRef, withinMs: number): Promise<void> {
    const dueInMs = this.#started().dueInMs(ref, Date.now()) ?? withinMs;
    // One that was called before it listened is due at once.
    if (dueInMs > 0) await this.#listeners.listen(keyOf(ref), Math.min(dueInMs, withinMs));
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
