import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, vi } from "vitest";

/** Long enough for a wrangler on a busy machine. */
export const PATIENT = 120_000;

/** A process as `ps` has it. */
export interface Listed {
  pid: number;
  ppid: number;
  pgid: number;
  command: string;
}

/** Every process of this machine, but those that have ended and wait to be noticed. */
export function processes(): Listed[] {
  const text = execFileSync("ps", ["-A", "-ww", "-o", "pid=,ppid=,pgid=,stat=,args="], {
    encoding: "utf8",
    maxBuffer: 16 * 1024 * 1024,
  });
  return text.split("\n").flatMap((line) => {
    const [, pid, ppid, pgid, stat, command] =
      /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    if (command === undefined || stat?.startsWith("Z")) return [];
    return [{ pid: Number(pid), ppid: Number(ppid), pgid: Number(pgid), command }];
  });
}

const directories: string[] = [];
const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const dir of directories.splice(0)) rmSync(dir, { recursive: true, force: true });
});

/** A directory of the test's own, removed after it. */
export function temporaryDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "muster-cli-test-"));
  directories.push(dir);
  return dir;
}

/** A command of `src/cli` that was started. */
export interface Command {
  pid: number;
  stdout(): string;
  stderr(): string;
  /** Waits until stdout has this in it; rejects when it ends. */
  says(text: string): Promise<void>;
  signal(name: NodeJS.Signals): void;
  /** Its exit code, when it has ended. */
  exited: Promise<number | null>;
}

/** Starts a file of `src/cli` with these variables, and none of Muster's from outside. */
export function run(file: string, args: string[] = [], env: Record<string, string> = {}): Command {
  const path = join(import.meta.dirname, "../../src/cli", file);
  const { PATH = "", HOME = "" } = process.env;
  const child = spawn(process.execPath, [path, ...args], {
    env: { PATH, HOME, TMPDIR: tmpdir(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const exited = once(child, "close").then(([code]) => code as number | null);
  const ended = exited.then((code) => {
    throw new Error(`${file} ended with ${code}:\n${stdout}${stderr}`);
  });
  ended.catch(() => undefined);
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    says: (text) => {
      const heard = vi.waitUntil(() => stdout.includes(text), { timeout: PATIENT, interval: 50 });
      return Promise.race([heard, ended]).then(() => undefined);
    },
    signal: (name) => void child.kill(name),
    exited,
  };
}
