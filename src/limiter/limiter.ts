import { DurableObject } from "cloudflare:workers";
import { SQLSchemaMigrations } from "durable-utils/sql-migrations";
import { readConfig } from "../config.ts";
import { admit } from "../core/admission.ts";
import type { BatchRef } from "../wire/messages.ts";
import type { AcquireReply, AcquireRequest } from "./acquire.ts";
import { migrations } from "./schema.ts";
import { LimiterStore } from "./store.ts";

/** A batch that was shown to one asker is not shown to the next ones for this long. */
const INVITE_EVERY_MS = 1_000;
/** When there is no upstream to call, ask again after this long. */
const NO_UPSTREAM_RETRY_MS = 5_000;

/**
 * The quota of one upstream. One object for each upstream, named after it; every call to that
 * upstream, of all batches of all projects, has a permit from here.
 */
export class Limiter extends DurableObject<Env> {
  #store: LimiterStore | undefined;
  readonly #invitedAtMs = new Map<string, number>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      await new SQLSchemaMigrations({ doStorage: ctx.storage, migrations }).runAll();
      this.#store = new LimiterStore(ctx.storage.sql);
    });
  }

  /** Takes a batch's news and grants what it may have now. Writes; never throws but for bugs. */
  acquire(request: AcquireRequest): AcquireReply {
    const store = this.#opened();
    const nowMs = Date.now();
    const limits = readConfig(this.env).upstream?.limits;
    if (limits === undefined) {
      return { startInMs: [], retryInMs: NO_UPSTREAM_RETRY_MS, invite: null };
    }
    const { ref, ...said } = request;
    const batch = keyOf(ref);
    store.dropStale(nowMs);
    const { quota, hold, grant } = admit(
      store.quota,
      store.holds,
      limits,
      { ...said, batch },
      nowMs,
      Math.random(),
    );
    store.setQuota(quota);
    store.setHold(batch, hold);
    return { ...grant, invite: this.#invite(batch, nowMs) };
  }

  /** Says that a batch has work that nobody has asked permits for yet, so that it gets served. */
  announce(ref: BatchRef, wanted: number): void {
    const batch = keyOf(ref);
    const nowMs = Date.now();
    const before = this.#opened().holds.get(batch);
    this.#opened().setHold(batch, {
      held: before?.held ?? 0,
      unmet: wanted,
      unmetCost: before?.unmetCost ?? 0,
      waitingSinceMs: before && before.unmet > 0 ? before.waitingSinceMs : nowMs,
      seenAtMs: nowMs,
    });
    this.#invitedAtMs.delete(batch);
  }

  /** A batch with work and no call in flight, other than the asker's. */
  #invite(asker: string, nowMs: number): BatchRef | null {
    for (const [batch, hold] of this.#opened().holds) {
      if (batch === asker || hold.held > 0 || hold.unmet === 0) continue;
      const invitedAtMs = this.#invitedAtMs.get(batch);
      if (invitedAtMs !== undefined && nowMs - invitedAtMs < INVITE_EVERY_MS) continue;
      this.#invitedAtMs.set(batch, nowMs);
      return refOf(batch);
    }
    // Entries only matter for as long as they hold back an invitation.
    if (this.#invitedAtMs.size > 1_000) this.#invitedAtMs.clear();
    return null;
  }

  #opened(): LimiterStore {
    if (this.#store === undefined) throw new Error("the Limiter's constructor has not finished");
    return this.#store;
  }
}

/** A batch's key in the holds. A project's name has no slash. */
function keyOf(ref: BatchRef): string {
  return `${ref.project}/${ref.batch_id}`;
}

function refOf(key: string): BatchRef {
  const slash = key.indexOf("/");
  return { project: key.slice(0, slash), batch_id: key.slice(slash + 1) };
}
