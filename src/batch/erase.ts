import { type Result, refuse } from "../wire/errors.ts";
import type { BatchRow } from "./schema.ts";
import type { OutcomeKind } from "./store/outcomes.ts";
import type { Store } from "./store/store.ts";

/**
 * Deleting what a batch found out, before the batch itself goes: because its client said so when it
 * opened the batch (`output_expires_after`), or deleted an output file. What was sent goes with it;
 * counts, usage and hashes stay.
 */

/** When an ended batch's output and error file expire by its client's wish; undefined for no such wish. */
export function outputExpiresAtMs(row: BatchRow): number | undefined {
  const endedMs = row.completed_at ?? row.expired_at ?? row.cancelled_at;
  if (endedMs === null || row.output_expires_after_s === null) return undefined;
  return endedMs + row.output_expires_after_s * 1000;
}

/** When there is something to delete for {@link outputExpiresAtMs}. */
export function eraseAtMs(row: BatchRow): number | undefined {
  const erased = row.output_erased_at !== null && row.error_erased_at !== null;
  return erased ? undefined : outputExpiresAtMs(row);
}

/** Deletes what belongs to one file or both. Twice is once. */
export function erase(store: Store, kinds: readonly ("output" | "error")[], nowMs: number): void {
  store.transaction(() => {
    for (const kind of kinds) {
      const ok = kind === "output" ? 1 : 0;
      store.sql.exec("DELETE FROM input WHERE seq IN (SELECT seq FROM outcome WHERE ok = ?)", ok);
      store.sql.exec(
        "DELETE FROM recorded WHERE seq IN (SELECT seq FROM outcome WHERE ok = ?)",
        ok,
      );
      store.sql.exec("DELETE FROM outcome WHERE ok = ?", ok);
      store.rows.erased(kind, nowMs);
    }
  });
}

/** When outcomes of a kind were deleted; of all of them, the first that were. Null for not yet. */
export function erasedAtMs(row: BatchRow, kind: OutcomeKind): number | null {
  const times = {
    output: [row.output_erased_at],
    error: [row.error_erased_at],
    all: [row.output_erased_at, row.error_erased_at],
  }[kind].filter((time) => time !== null);
  return times.length === 0 ? null : Math.min(...times);
}

/** Why the outcomes of a kind cannot be read any more; undefined while they can. */
export function erasedProblem(row: BatchRow, kind: OutcomeKind): Result<never> | undefined {
  const at = erasedAtMs(row, kind);
  if (at === null) return undefined;
  const when = new Date(at).toISOString();
  return refuse(
    "not_found",
    `Results of this batch were deleted at ${when}: their file expired, or was deleted.`,
    "id",
    "results_deleted",
  );
}

/**
 * Why a batch cannot run again after one of its files was deleted; undefined while both are there.
 * What failed has gone with the error file. Without the output file it could run, and its results
 * would be those of some of its tasks, under counts of all of them.
 */
export function erasedForRetry(row: BatchRow): Result<never> | undefined {
  const { output_erased_at: outputMs, error_erased_at: errorMs } = row;
  const at = errorMs ?? outputMs;
  if (at === null) return undefined;
  const when = new Date(at).toISOString();
  const why =
    errorMs === null
      ? `its output file was deleted at ${when}, or expired, so it would have results of some of its tasks only. Open a new batch with the requests that did not succeed; its error file names them.`
      : `its error file was deleted at ${when}, or expired, and the requests that did not succeed with it. Open a new batch with them.`;
  return refuse("invalid_request", `This batch cannot be retried: ${why}`, "id", "results_deleted");
}
