import type { FileRow } from "../project/schema.ts";
import type { FileObject } from "../wire/file.ts";

/** A file as clients see it. */
export function viewOfFile(row: FileRow): FileObject {
  const seconds = (ms: number) => Math.floor(ms / 1000);
  return {
    id: row.id,
    object: "file",
    bytes: row.bytes,
    created_at: seconds(row.created_at),
    // Files of versions that did not say when they are deleted have none.
    ...(row.expires_at === null ? {} : { expires_at: seconds(row.expires_at) }),
    filename: row.filename,
    purpose: row.purpose,
    status: "processed",
  };
}
