import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { formatEnvFile } from "./env-file.ts";

/** Muster's own directory. */
export const projectDir = join(import.meta.dirname, "../..");

/** Where wrangler works for one run of Muster. */
export interface Workspace {
  dir: string;
  envFile: string;
  /** For what wrangler itself keeps for the time of the run. */
  tempDir: string;
  remove(): void;
}

/**
 * Makes a temporary directory that only this user can read, with the settings and secrets in an env
 * file and a copy of the Worker's source. A copy, because wrangler reloads the Worker when a file
 * of it changes, which empties the local queue: editing or pulling must not disturb a running batch.
 */
export function makeWorkspace(vars: Readonly<Record<string, string>>): Workspace {
  const dir = mkdtempSync(join(tmpdir(), "muster-run-"));
  const envFile = join(dir, "settings.env");
  writeFileSync(envFile, formatEnvFile(vars), { mode: 0o600 });
  for (const name of ["wrangler.toml", "tsconfig.json", "package.json"]) {
    cpSync(join(projectDir, name), join(dir, name));
  }
  const source = join(projectDir, "src");
  cpSync(source, join(dir, "src"), {
    recursive: true,
    filter: (path) => !/^(cli|simulator)$/.test(relative(source, path)),
  });
  const tempDir = join(dir, "tmp");
  mkdirSync(tempDir);
  symlinkSync(join(projectDir, "node_modules"), join(dir, "node_modules"), "dir");
  return { dir, envFile, tempDir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}
