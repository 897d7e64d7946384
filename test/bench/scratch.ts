import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let root: string | undefined;

/** A new directory, gone when this process ends, however it ends by itself. */
export function scratchDir(): string {
  if (root === undefined) {
    const made = mkdtempSync(join(tmpdir(), "muster-bench-"));
    process.once("exit", () => rmSync(made, { recursive: true, force: true }));
    root = made;
  }
  return mkdtempSync(join(root, "d-"));
}
