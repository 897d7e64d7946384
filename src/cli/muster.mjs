#!/usr/bin/env node
/**
 * `npx muster`. Plain JavaScript for any Node from 18 on: the rest is TypeScript, which the Node
 * that Muster brings along runs as it stands. Installs what is missing, like every npm script.
 */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { install, nodeProblem } from "./install.mjs";

const root = resolve(fileURLToPath(import.meta.url), "../../..");
const problem = install(root) ?? nodeProblem(root, process.version);
if (problem !== undefined) {
  console.error(problem);
  process.exitCode = 1;
} else {
  const own = join(root, "node_modules/node/bin/node");
  const main = join(root, "src/cli/muster/main.ts");
  const { status, signal } = spawnSync(
    existsSync(own) ? own : process.execPath,
    [main, ...process.argv.slice(2)],
    { stdio: "inherit" },
  );
  process.exitCode = status ?? (signal === null ? 1 : 130);
}
