import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { projectDir, type Workspace } from "./workspace.ts";

/** A started `wrangler dev`. It leads a process group that has workerd and esbuild in it. */
export interface Wrangler {
  pid: number;
  /** The last lines it said. */
  said(): string;
  /** Resolves when it says that it serves. */
  serving: Promise<void>;
  /** Resolves when it has ended, for whatever reason. */
  ended: Promise<void>;
  /** Has it end; by force after a while, or at once. Resolves when its whole group is gone. */
  end(how: "politely" | "at once"): Promise<void>;
}

const PATIENCE_MS = 3_000;
const KEPT_LINES = 60;
/** What wrangler and its network need to know of this machine; no setting, no account. */
const PASSED_ON =
  /^(PATH|HOME|USER|LANG|LC_.*|TZ|TERM|NO_COLOR|FORCE_COLOR|NODE_EXTRA_CA_CERTS|SSL_CERT_.*|XDG_.*)$/;

/** Starts `wrangler dev` on a port of 127.0.0.1, without account, telemetry or update check. */
export function startWrangler(
  workspace: Workspace,
  options: { port: number; stateDir: string; onLine: (line: string) => void },
): Wrangler {
  const child = spawn(process.execPath, wranglerArgs(workspace, options), {
    cwd: workspace.dir,
    env: wranglerEnv(workspace),
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    // Its own process group: Ctrl-C reaches it through us, and one signal reaches all of it.
    detached: true,
  });
  const { pid } = child;
  if (pid === undefined) throw new Error("wrangler could not be started");
  const lines: string[] = [];
  const hear = (line: string) => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
    options.onLine(line);
  };
  listen(child.stdout, hear);
  listen(child.stderr, hear);
  // Not "close": a workerd that outlives wrangler would keep its pipes open.
  const ended = once(child, "exit").then(() => undefined);
  return {
    pid,
    said: () => lines.join("\n").trim(),
    serving: new Promise((resolve) => {
      child.on("message", (message) => {
        if (String(message).includes("DEV_SERVER_READY")) resolve();
      });
    }),
    ended,
    end: (how) => end(child, pid, ended, how),
  };
}

function wranglerArgs(workspace: Workspace, options: { port: number; stateDir: string }): string[] {
  return [
    "--no-warnings",
    ...["--import", join(import.meta.dirname, "leash.ts")],
    join(projectDir, "node_modules/wrangler/wrangler-dist/cli.js"),
    "dev",
    ...["--config", join(workspace.dir, "wrangler.toml")],
    ...["--ip", "127.0.0.1", "--port", String(options.port)],
    ...["--inspector-ip", "127.0.0.1", "--inspector-port", "0"],
    ...["--persist-to", options.stateDir],
    ...["--env-file", workspace.envFile],
    "--local",
    "--show-interactive-dev-session=false",
  ];
}

function wranglerEnv(workspace: Workspace): NodeJS.ProcessEnv {
  const passedOn = Object.entries(process.env).filter(([name]) => PASSED_ON.test(name));
  return {
    ...Object.fromEntries(passedOn),
    MUSTER_WORKSPACE: workspace.dir,
    // It leaves directories behind, even when it is ended politely. These go with the workspace.
    TMPDIR: workspace.tempDir,
    CI: "1",
    // Each of these would reach for the network or write outside the workspace.
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_HIDE_BANNER: "true",
    WRANGLER_WRITE_LOGS: "false",
    WRANGLER_REGISTRY_PATH: join(workspace.dir, "registry"),
    // It lets whoever reaches the port read and write all storage, without a key.
    X_LOCAL_EXPLORER: "false",
    // Halves the time of a write-heavy run.
    X_LOCAL_OBSERVABILITY: "false",
  };
}

function listen(stream: Readable | null, hear: (line: string) => void): void {
  if (stream) createInterface({ input: stream }).on("line", hear);
}

async function end(
  child: ChildProcess,
  pid: number,
  ended: Promise<void>,
  how: "politely" | "at once",
): Promise<void> {
  if (how === "politely" && child.exitCode === null && child.signalCode === null) {
    child.kill("SIGTERM");
    const patience = AbortSignal.timeout(PATIENCE_MS);
    await Promise.race([ended, once(patience, "abort")]);
  }
  killGroup(pid);
  await ended;
}

/** What wrangler leaves behind when it ends, or when it does not. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // The group is gone already.
  }
}
