import { OPEN_WITHIN_MS } from "../wire/messages.ts";
import type { Doomed } from "./doomed.ts";
import type { ProjectStore } from "./store.ts";
import type { Unopened } from "./unopened.ts";

/** R2 deletes at most 1,000 keys in one call. */
const DELETE_AT_ONCE = 1_000;
/** Batches that are asked at once whether they are open. */
const ASK_AT_ONCE = 50;
/**
 * A batch that was asked for this long ago and has told nothing of itself is given up. Nobody opens it
 * any more by then, even where clocks differ by half an hour.
 */
export const GIVE_UP_MS = 2 * OPEN_WITHIN_MS;

/**
 * Takes batches out of the index that were never opened. Each is asked itself, as one that is open may
 * not have been heard; one that is asked for again meanwhile stays.
 */
export async function giveUpUnopened(
  store: ProjectStore,
  unopened: Unopened,
  isOpened: (batchId: string) => Promise<boolean>,
  nowMs: () => number,
): Promise<void> {
  for (;;) {
    const askedMs = nowMs() - GIVE_UP_MS;
    const ids = unopened.due(askedMs, ASK_AT_ONCE);
    if (ids.length === 0) return;
    const answers = await Promise.allSettled(ids.map(isOpened));
    for (const [index, id] of ids.entries()) {
      const answer = answers[index];
      // One out of reach is asked another time.
      if (answer?.status !== "fulfilled") unopened.asked(id, nowMs());
      else if (answer.value) unopened.opened(id);
      else if (unopened.isDue(id, askedMs)) store.removeBatch(id, nowMs());
    }
  }
}

/**
 * Deletes the files that have expired, and bytes that nobody owns. Bytes go first, so that none are
 * left without their row; so it may be done again after it failed anywhere.
 */
export async function expireFiles(
  store: ProjectStore,
  doomed: Doomed,
  bucket: Pick<R2Bucket, "delete">,
  nowMs: () => number,
): Promise<void> {
  for (;;) {
    const expired = store.expired(nowMs(), DELETE_AT_ONCE);
    if (expired.length === 0) break;
    const keys = expired.flatMap(({ r2_key }) => (r2_key === null ? [] : [r2_key]));
    if (keys.length > 0) await bucket.delete(keys);
    for (const { id } of expired) store.removeFile(id, nowMs());
  }
  for (;;) {
    const keys = doomed.due(nowMs(), DELETE_AT_ONCE);
    if (keys.length === 0) break;
    await bucket.delete(keys);
    for (const key of keys) doomed.spare(key);
  }
}
