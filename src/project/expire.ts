import type { Doomed } from "./doomed.ts";
import type { ProjectStore } from "./store.ts";

/** R2 deletes at most 1,000 keys in one call. */
const DELETE_AT_ONCE = 1_000;

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
