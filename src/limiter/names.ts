import type { BatchRef } from "../wire/messages.ts";

/** A batch's key in the holds. A project's name has no slash. */
export function keyOf(ref: BatchRef): string {
  return `${ref.project}/${ref.batch_id}`;
}

/** The batch of such a key. */
export function refOf(key: string): BatchRef {
  const slash = key.indexOf("/");
  return { project: key.slice(0, slash), batch_id: key.slice(slash + 1) };
}
