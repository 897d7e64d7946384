import type { Digest } from "../project/digest.ts";
import type { BatchRow } from "./schema.ts";
import type { Store } from "./store/store.ts";
import type { World } from "./world.ts";

/** While a batch runs its project hears of it this often; of a change of status at once. */
export const TELL_EVERY_MS = 5_000;

/** When the project is to hear of the batch next, by what the tables show. */
export function tellAtMs(row: BatchRow, running: number): number | undefined {
  if (row.told_status !== row.status) return row.told_at;
  return running > 0 || row.told_running > 0 ? row.told_at + TELL_EVERY_MS : undefined;
}

/** Tells the project how the batch stands, when that is due. @throws when it is out of reach. */
export async function tellProject(store: Store, world: World): Promise<void> {
  const row = store.rows.get();
  if (row === undefined) return;
  const progress = store.progress();
  const nowMs = world.nowMs();
  const dueMs = tellAtMs(row, progress.running);
  // A clock that was set back must not silence it.
  if (dueMs === undefined || (nowMs < dueMs && dueMs - nowMs <= TELL_EVERY_MS)) return;
  const { pending, running, succeeded, failed, cancelled, expired } = progress;
  const digest: Digest = {
    status: row.status,
    endpoint: row.endpoint,
    model: row.model || null,
    metadata: row.metadata,
    input_tokens: progress.input_tokens,
    output_tokens: progress.output_tokens,
    bytes: progress.output_bytes + progress.error_bytes,
    noted_at: nowMs,
    ...{ pending, running, succeeded, failed, cancelled, expired },
  };
  await world.tellProject({ project: row.project, batch_id: row.batch_id }, digest);
  store.rows.told(digest);
}
