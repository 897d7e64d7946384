import type { Config } from "../config.ts";
import { outputFileIds, outputLineStem } from "../wire/ids.ts";
import { announce } from "./announce.ts";
import { erase, eraseAtMs } from "./erase.ts";
import { ingestRange, isReading } from "./ingest.ts";
import type { BatchRow, Ending } from "./schema.ts";
import { sendWebhooks } from "./send-webhooks.ts";
import { isStuck, stopUnaffordable } from "./stop-unaffordable.ts";
import type { Close } from "./store/closing.ts";
import { hashOutcomes } from "./store/outcomes.ts";
import type { Store } from "./store/store.ts";
import { tellAtMs, tellProject } from "./tell-project.ts";
import type { Ways } from "./ways.ts";
import type { World } from "./world.ts";

/**
 * The alarm's pass over a batch: everything that must happen without a client or a consumer asking.
 * Each step can be repeated; whatever was interrupted is taken up by the next pass.
 */

/** Tasks that are closed in one transaction when a batch ends early. */
const CLOSE_AT_ONCE = 5_000;
/** A pass that has more to do ends after this long and comes again at once. */
const PASS_MS = 20_000;
/** While calls are in flight the Limiter hears from the batch this often, well inside its hold TTL. */
const CONFIRM_MS = 30_000;
/** Work that waits is looked at this often, whatever else was to wake the batch and did not. */
const CHECK_MS = 60_000;
/** After a step failed (R2, a Project or a receiver out of reach), the next pass comes this soon. */
const FAILED_RETRY_MS = 2_000;

/**
 * One pass. Never throws: what failed is logged and tried again.
 *
 * @returns when the next pass is wanted for a reason that the tables don't show, if there is one;
 *   "gone" when nothing is left of the batch.
 */
export async function sweep(
  store: Store,
  world: World,
  config: Config,
  ways: Ways,
): Promise<number | "gone" | undefined> {
  const startedMs = world.nowMs();
  try {
    for (;;) {
      const more = await step(store, world, config, ways);
      if (more === "gone") return more;
      if (!more) break;
      if (world.nowMs() - startedMs > PASS_MS) return world.nowMs() + 1;
      await world.breathe();
    }
    // The hold of a batch with calls in flight must not go stale; one without must not stay.
    const inFlight = store.progress().running > 0;
    if ((inFlight || ways.owes()) && !(await ways.tell())) {
      return world.nowMs() + FAILED_RETRY_MS;
    }
    return undefined;
  } catch (error) {
    const batch = store.rows.get()?.batch_id;
    world.log({ event: "sweep_failed", batch, error: String(error) });
    // Whatever failed: unconfirmed for long, its calls in flight would make room for others' calls.
    if (batch !== undefined && store.progress().running > 0) await ways.tell();
    return world.nowMs() + FAILED_RETRY_MS;
  }
}

/** Does the first thing that is due. @returns whether there may be more. */
async function step(
  store: Store,
  world: World,
  config: Config,
  ways: Ways,
): Promise<boolean | "gone"> {
  const row = store.rows.get();
  if (row === undefined) return false;
  const nowMs = world.nowMs();

  if (isReading(store)) {
    await ingestRange(store, world, row, config);
    return true;
  }
  for (const holder of store.holders.silent(nowMs - config.claimTtlMs, nowMs + config.claimTtlMs)) {
    // One that waits for the Limiter here is not silent; we are.
    if (ways.waits(holder)) continue;
    const tasks = store.tasks.heldBy(holder);
    if (tasks > 0) world.log({ event: "conversation_lost", batch: row.batch_id, holder, tasks });
    store.transaction(() => {
      if (row.on_unknown === "fail") {
        store.closing.lost(holder, UNKNOWN, 0, outputLineStem(row.batch_id), nowMs);
      }
      store.closing.lost(holder, DEADLY, LOSSES_MAX, outputLineStem(row.batch_id), nowMs);
      store.tasks.requeue(holder, [], nowMs);
      store.holders.remove(holder);
    });
  }
  if (store.twins.owed()) {
    store.transaction(() => store.twins.settleSome(outputLineStem(row.batch_id), nowMs));
    return true;
  }
  if (row.status === "in_progress" && row.ending === null) {
    if (nowMs >= row.expires_at) return store.rows.stop("expired");
    const { pending, running } = store.progress();
    if (pending + running === 0) return store.rows.stop("completed");
    if (row.paused_at === null && stopUnaffordable(store, row, nowMs)) return true;
  }
  if (row.ending !== null && ["in_progress", "cancelling", "finalizing"].includes(row.status)) {
    if (await wind(store, world, config, row, row.ending, nowMs)) return true;
  }
  if (nowMs >= (eraseAtMs(row) ?? nowMs + 1)) erase(store, ["output", "error"], nowMs);
  // A project out of reach holds up no webhook of the batch's own, nor a slow receiver the project.
  const [told, sent] = await Promise.allSettled([
    tellProject(store, world),
    row.removed_at === null && sendWebhooks(store, world, row),
  ]);
  if (told.status === "rejected") throw told.reason;
  if (sent.status === "rejected") throw sent.reason;
  if (sent.value) return true;
  if (nowMs >= (deleteAtMs(row, config) ?? nowMs + 1)) {
    await world.forget({ project: row.project, batch_id: row.batch_id });
    return "gone";
  }
  return false;
}

/** When an ended batch is deleted; undefined for one that has not ended. */
export function deleteAtMs(row: BatchRow, config: Config): number | undefined {
  if (row.removed_at !== null) return row.removed_at;
  const endedMs = row.completed_at ?? row.expired_at ?? row.cancelled_at ?? row.failed_at;
  return endedMs === null ? undefined : endedMs + config.retentionMs;
}

/** Brings a batch that hands out no more tasks to its end. @returns whether there may be more. */
async function wind(
  store: Store,
  world: World,
  config: Config,
  row: BatchRow,
  ending: Ending,
  nowMs: number,
): Promise<boolean> {
  if (ending !== "completed") {
    closeSome(store, row, ending, nowMs);
    const { pending, twins_pending } = store.progress();
    if (pending > twins_pending || store.twins.owed()) return true;
  }
  // Calls in flight finish; the last one's exchange sets the alarm.
  if (store.progress().running > 0) return false;
  if (row.status === "in_progress") return store.rows.finalize(nowMs);
  await registerFiles(store, world, config, row, nowMs);
  const status = ending === "refused" ? "completed" : ending;
  const hash = hashOutcomes(store.sql);
  store.transaction(() => {
    if (store.rows.end(status, hash, nowMs)) announce(store, row, `batch.${status}`, nowMs);
  });
  return true;
}

/** What becomes of the tasks that are left when a batch ends early. */
const CLOSED: Record<Exclude<Ending, "completed">, Close> = {
  cancelled: {
    state: "cancelled",
    error: {
      code: "batch_cancelled",
      message: "This request was not executed: the batch was cancelled.",
    },
  },
  expired: {
    state: "expired",
    error: {
      code: "batch_expired",
      message: "This request could not be executed before the completion window expired.",
    },
  },
  refused: {
    state: "failed",
    error: {
      code: "upstream_unauthorized",
      message:
        "This request was not executed: the upstream answered 401 to several requests in a row. Check UPSTREAM_API_KEY, then retry the batch.",
    },
  },
};

/** After this many consumers lost with it, a task is taken for what kills them. */
const LOSSES_MAX = 20;

const DEADLY: Close = {
  state: "failed",
  error: {
    code: "consumer_lost",
    message: `Consumers were lost ${LOSSES_MAX} times while they had this task; it is not tried again.`,
  },
};

const UNKNOWN: Close = {
  state: "failed",
  error: {
    code: "outcome_unknown",
    message:
      "The consumer was lost between the call and its record. The call was not repeated, as on_unknown is 'fail'.",
  },
};

function closeSome(
  store: Store,
  row: BatchRow,
  ending: Exclude<Ending, "completed">,
  nowMs: number,
): void {
  const stem = outputLineStem(row.batch_id);
  store.transaction(() => store.closing.next(CLOSED[ending], stem, CLOSE_AT_ONCE, nowMs));
}

/** Puts the output and error file into the project's index. Doing it twice is doing it once. */
async function registerFiles(
  store: Store,
  world: World,
  config: Config,
  row: BatchRow,
  nowMs: number,
): Promise<void> {
  const { output_bytes, error_bytes } = store.progress();
  const ids = outputFileIds(row.batch_id);
  // They are read from this object, and go with it at the latest.
  const wishedMs = (row.output_expires_after_s ?? Number.POSITIVE_INFINITY) * 1000;
  const expiresAtMs = nowMs + Math.min(config.retentionMs, wishedMs);
  const files = [
    { id: ids.output, bytes: output_bytes, kind: "output" as const, expiresAtMs },
    { id: ids.error, bytes: error_bytes, kind: "error" as const, expiresAtMs },
  ];
  await world.registerFiles({ project: row.project, batch_id: row.batch_id }, files, nowMs);
}

/**
 * When the next pass is due by what the tables show, or undefined when nothing is.
 *
 * @param lostAtMs when a pointer that is out is to be taken for lost.
 * @param blockedUntilMs before this time the Limiter has nothing for the batch.
 */
export function nextSweepMs(
  store: Store,
  config: Config,
  lostAtMs: number | undefined,
  blockedUntilMs: number,
  nowMs: number,
): number | undefined {
  const row = store.rows.get();
  if (row === undefined) return undefined;
  if (isReading(store) || row.status === "finalizing") return nowMs;
  const { pending: waiting, twins_pending, running } = store.progress();
  if (store.twins.owed()) return nowMs;
  // Twins wait for their originals, not for the sweep.
  const pending = waiting - twins_pending;
  const tellMs = tellAtMs(row, running);
  const times = [store.deliveries.nextMs(nowMs), deleteAtMs(row, config), eraseAtMs(row), tellMs];
  if (row.status === "in_progress" || row.status === "cancelling") {
    const idle = row.ending === null ? pending + running === 0 : pending > 0 || running === 0;
    if (idle) return nowMs;
    const oldestSeenMs = store.holders.oldestSeenMs();
    if (oldestSeenMs !== undefined) times.push(oldestSeenMs + config.claimTtlMs + 1);
    if (running > 0) times.push(nowMs + CONFIRM_MS);
    if (row.ending === null) {
      times.push(row.expires_at);
      if (row.paused_at === null) {
        if (isStuck(store)) return nowMs;
        times.push(store.tasks.nextDueMs(nowMs));
        if (lostAtMs !== undefined) times.push(Math.max(lostAtMs, blockedUntilMs));
        if (blockedUntilMs > nowMs) times.push(blockedUntilMs);
        if (pending > 0) times.push(nowMs + CHECK_MS);
      }
    }
  }
  const due = times.filter((time) => time !== undefined);
  return due.length === 0 ? undefined : Math.min(...due);
}
