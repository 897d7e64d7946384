import { setTimeout as wait } from "node:timers/promises";
import type { BatchObject } from "../../wire/batch.ts";
import { showProgress } from "../progress.ts";
import type { Api } from "./api.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import type { Terminal } from "./terminal.ts";

const OPEN = /^(validating|in_progress|finalizing|cancelling)$/;
/** Soon at first, for small batches; then seldom, for long ones. */
const FIRST_POLL_MS = 200;
const LAST_POLL_MS = 2_000;

/** Watches a batch until it has ended. The connection may break meanwhile; the batch goes on. */
export async function follow(
  api: Api,
  id: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<BatchObject> {
  let batch = await api.json<BatchObject>(`/v1/batches/${id}`);
  let pollMs = FIRST_POLL_MS;
  while (batch.status === "validating") {
    await wait(pollMs, undefined, { signal });
    pollMs = Math.min(pollMs * 1.5, LAST_POLL_MS);
    batch = await api.json<BatchObject>(`/v1/batches/${id}`);
  }
  const progress = terminal.watched
    ? showProgress(batch.request_counts.total, process.stderr)
    : undefined;
  try {
    for (;;) {
      progress?.update(batch.muster.counts);
      if (!OPEN.test(batch.status)) return batch;
      await wait(pollMs, undefined, { signal });
      pollMs = Math.min(pollMs * 1.2, LAST_POLL_MS);
      batch = await api.json<BatchObject>(`/v1/batches/${id}`);
    }
  } finally {
    progress?.stop();
  }
}

/** How a batch stands, in a few words. */
export function describe(batch: BatchObject): string {
  const { succeeded, failed, cancelled, expired, pending, running } = batch.muster.counts;
  const parts = Object.entries({ succeeded, failed, cancelled, expired, running, waiting: pending })
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`);
  const status = batch.muster.paused ? "paused" : batch.status.replace("_", " ");
  return `${batch.id}  ${status}  ${parts.join(", ") || "no tasks"}`;
}

/** The exit code that says how a batch ended. */
export function exitOf(batch: BatchObject): ExitCode {
  if (batch.status !== "completed") return EXIT.notCompleted;
  return batch.request_counts.failed > 0 ? EXIT.tasksFailed : EXIT.ok;
}
