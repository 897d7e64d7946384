import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Lints /openapi.json, as the app itself serves it, with Redocly's recommended rules. Exits 1 on an
 * error and on a warning.
 */

/** The Worker's app by its address alone: its types are the Worker's, not Node's. */
const { createApp }: { createApp(): { request(path: string): Promise<Response> } } = await import(
  new URL("../api/app.ts", import.meta.url).href
);
const document = await (await createApp().request("/openapi.json")).text();

const folder = mkdtempSync(join(tmpdir(), "muster-openapi-"));
try {
  writeFileSync(join(folder, "openapi.json"), JSON.stringify(JSON.parse(document), null, 2));
  // In a folder of its own, so that no configuration that lies about changes the rules.
  const redocly = fileURLToPath(import.meta.resolve("@redocly/cli/bin/cli.js"));
  const args = [redocly, "lint", "openapi.json", "--extends=recommended"];
  // The probes, /healthz and /readyz, refuse nobody.
  args.push("--skip-rule=operation-4xx-response");
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_NOTIFICATIONS: "true" },
  });
  const said = stdout + stderr;
  process.stdout.write(said);
  if (status !== 0 || /\bwarnings?\b/i.test(said)) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}
