import { Failure } from "./failure.ts";
import { freePort, isFree } from "./ports.ts";
import { lockState } from "./state-lock.ts";
import { makeWorkspace } from "./workspace.ts";
import { startWrangler, type Wrangler } from "./wrangler.ts";

/** What a Muster on this machine is started with. */
export interface MusterOptions {
  /** On 127.0.0.1. 0, the default, takes a free one. */
  port?: number;
  /** Where objects and files persist; made when it is not there. */
  stateDir: string;
  /** The Worker's variables and secrets by name, as `config.ts` has them. */
  vars: Readonly<Record<string, string>>;
  /** Called with each line that wrangler, or the Worker's log, says. */
  onLine?: (line: string) => void;
  /** Gives the start up. */
  signal?: AbortSignal;
}

/** A running Muster. */
export interface Muster {
  /** The base URL for clients: `http://127.0.0.1:PORT/v1`. */
  readonly url: string;
  /** The first key of MUSTER_API_KEYS. */
  readonly apiKey: string;
  /** Of wrangler, and of the process group that has workerd in it. */
  readonly pid: number;
  /** Resolves when it has ended by itself, with what it said last. Never after `stop` or `kill`. */
  readonly died: Promise<string>;
  /** Stops it; resolves when no process of it is left. */
  stop(): Promise<void>;
  /** `kill -9` to all of its processes, as a crash would. */
  kill(): Promise<void>;
}

const READY_WITHIN_MS = 60_000;
/** Ports of our own choice that are tried. Between the look at one and its use lie seconds. */
const PORTS_TRIED = 3;

/** Somebody else had the port when wrangler wanted it. */
class PortTaken extends Failure {}

/**
 * Starts Muster under `wrangler dev` and waits until it answers.
 *
 * @throws {Failure} when the port or the state directory is in use, or wrangler does not start.
 */
export async function startMuster(options: MusterOptions): Promise<Muster> {
  const { port } = options;
  if (!port) return await startOnAny(options);
  if (!(await isFree(port))) {
    throw new Failure(`Port ${port} on 127.0.0.1 is in use. Set PORT to another one.`);
  }
  return await startOn(port, options);
}

async function startOnAny(options: MusterOptions): Promise<Muster> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await startOn(await freePort(), options);
    } catch (error) {
      if (!(error instanceof PortTaken) || tries === PORTS_TRIED) throw error;
    }
  }
}

async function startOn(port: number, options: MusterOptions): Promise<Muster> {
  const unlock = await lockState(options.stateDir);
  const workspace = makeWorkspace(options.vars);
  const onLine = options.onLine ?? (() => undefined);
  const wrangler = startWrangler(workspace, { port, stateDir: options.stateDir, onLine });
  let stopping = false;
  const stop = async (how: "politely" | "at once") => {
    stopping = true;
    await wrangler.end(how);
    workspace.remove();
    unlock();
  };
  try {
    await ready(wrangler, `http://127.0.0.1:${port}/healthz`, options.signal);
  } catch (error) {
    await stop("at once");
    throw error;
  }
  return {
    url: `http://127.0.0.1:${port}/v1`,
    apiKey: /^[^:]*:([^,]*)/.exec(options.vars.MUSTER_API_KEYS ?? "")?.[1] ?? "",
    pid: wrangler.pid,
    died: new Promise((resolve) => {
      void wrangler.ended.then(() => {
        if (!stopping) resolve(wrangler.said());
      });
    }),
    stop: () => stop("politely"),
    kill: () => stop("at once"),
  };
}

/** Waits until /healthz answers 200. */
async function ready(wrangler: Wrangler, url: string, signal?: AbortSignal): Promise<void> {
  const late = AbortSignal.timeout(READY_WITHIN_MS);
  const given = signal === undefined ? late : AbortSignal.any([late, signal]);
  const givenUp = new Promise<"given up">((resolve) => {
    if (given.aborted) resolve("given up");
    given.addEventListener("abort", () => resolve("given up"), { once: true });
  });
  const healthy = wrangler.serving.then(() => untilHealthy(url, given));
  const what = await Promise.race([healthy, wrangler.ended.then(() => "ended" as const), givenUp]);
  if (what === "healthy") return;
  signal?.throwIfAborted();
  const why =
    what === "ended"
      ? "Muster did not start: wrangler ended."
      : `Muster did not start: no answer from ${url} within ${READY_WITHIN_MS / 1000} seconds.`;
  const said = wrangler.said();
  const Kind = said.includes("Address already in use") ? PortTaken : Failure;
  throw new Kind(`${why} It said:\n\n${said}`);
}

async function untilHealthy(url: string, signal: AbortSignal): Promise<"healthy" | "given up"> {
  while (!signal.aborted) {
    const response = await fetch(url, { signal }).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.status === 200) return "healthy";
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return "given up";
}
