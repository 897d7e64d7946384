import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { projectDir } from "../workspace.ts";

/** How a wrangler command ended. */
export interface Ended {
  code: number;
  /** What it printed, when it was not shown to the user. */
  stdout: string;
  stderr: string;
}

/**
 * Runs a wrangler command in Muster's directory.
 *
 * @param show lets it speak to the user, and ask them, in the terminal that this runs in
 */
export async function wrangler(
  args: string[],
  { show = false, env = {} }: { show?: boolean; env?: Record<string, string> } = {},
): Promise<Ended> {
  const cli = join(projectDir, "node_modules/wrangler/wrangler-dist/cli.js");
  const child = spawn(process.execPath, ["--no-warnings", cli, ...args], {
    cwd: projectDir,
    env: { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true", ...env },
    stdio: show ? "inherit" : ["ignore", "pipe", "pipe"],
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      texts[name] += text;
    });
  }
  const [code] = (await once(child, "close")) as [number | null];
  return { code: code ?? 1, ...texts };
}
