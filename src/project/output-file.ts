import type { FileRow } from "./schema.ts";

/** An output or error file of a batch, as the batch reports it at its end. */
export interface OutputFile {
  id: string;
  bytes: number;
  kind: "output" | "error";
  /** When it is deleted, in milliseconds since the epoch. */
  expiresAtMs: number;
}

/** The index's row of it. Its content is its batch's outcomes, so it has no bytes of its own. */
export function outputFileRow(batchId: string, file: OutputFile, nowMs: number): FileRow {
  return {
    id: file.id,
    purpose: "batch_output",
    filename: `${batchId}_${file.kind}.jsonl`,
    bytes: file.bytes,
    created_at: nowMs,
    expires_at: file.expiresAtMs,
    r2_key: null,
    sha256: null,
    lines: null,
    batch_id: batchId,
    kind: file.kind,
  };
}
