import { setTimeout as wait } from "node:timers/promises";
import type { BatchObject } from "../../wire/batch.ts";
import { doneOf, showProgress } from "../progress.ts";
import type { Api } from "./api.ts";
import { EXIT, Exit, type ExitCode } from "./exit.ts";
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
  const path = pathOf(id);
  let batch = await api.json<BatchObject>(path);
  let pollMs = FIRST_POLL_MS;
  const look = async (): Promise<BatchObject> => {
    await wait(pollMs, undefined, { signal });
    pollMs = Math.min(pollMs * 1.2, LAST_POLL_MS);
    return api.json<BatchObject>(path).catch((error: unknown) => {
      if (!(error instanceof Exit)) throw error;
      const after = `The batch goes on without you: npx muster watch ${id} follows it again.`;
      throw new Exit(error.code, `${error.message}\n${after}`);
    });
  };
  while (batch.status === "validating") batch = await look();
  const progress = terminal.watched
    ? showProgress(batch.request_counts.total, process.stderr, doneOf(batch.muster.counts))
    : undefined;
  try {
    for (;;) {
      progress?.update(batch.muster.counts);
      if (!OPEN.test(batch.status)) return batch;
      batch = await look();
    }
  } finally {
    progress?.stop();
  }
}

/** Where a batch is found. What was typed for its id stays one segment. */
export function pathOf(id: string): string {
  return `/v1/batches/${encodeURIComponent(id)}`;
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
