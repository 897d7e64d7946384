/** An output or error file of a batch, as the batch reports it at its end. */
export interface OutputFile {
  id: string;
  bytes: number;
  kind: "output" | "error";
  /** When it is deleted, in milliseconds since the epoch. */
  expiresAtMs: number;
}
