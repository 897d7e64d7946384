import { createHash } from "node:crypto";
import { mkdirSync, realpathSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "./failure.ts";

/**
 * Makes the state directory and keeps every other Muster on this machine out of it: two of them
 * would run the same alarms. The lock is a listening socket, so it ends with its process, however
 * that dies; its file is in the temporary directory because a socket's path has to be short.
 *
 * @returns a function that gives the directory up.
 * @throws {Failure} when the directory cannot be made or is in use.
 */
export async function lockState(stateDir: string): Promise<() => void> {
  try {
    mkdirSync(stateDir, { recursive: true });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    throw new Failure(
      `MUSTER_STATE_DIR takes a directory that can be written; ${stateDir} cannot be made${code}.`,
    );
  }
  const name = createHash("sha256").update(realpathSync(stateDir)).digest("hex").slice(0, 16);
  const path = join(tmpdir(), `muster-${name}.sock`);
  const server = (await listen(path)) ?? (await listenAfterDead(path));
  if (server === undefined) {
    throw new Failure(
      `Another Muster is using ${stateDir}. Stop it, or set MUSTER_STATE_DIR to another directory.`,
    );
  }
  server.unref();
  return () => {
    server.close();
    rmSync(path, { force: true });
  };
}

/** A socket file that nobody answers on was left by a process that died. */
async function listenAfterDead(path: string): Promise<Server | undefined> {
  if (await answers(path)) return undefined;
  rmSync(path, { force: true });
  return listen(path);
}

function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", () => resolve(undefined));
    server.listen(path, () => resolve(server));
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
