import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { simulatorVars } from "../../src/cli/local-upstream.ts";
import { type Muster, startMuster } from "../../src/cli/serve.ts";
import {
  type Simulator,
  type SimulatorSettings,
  startSimulator,
} from "../../src/simulator/index.ts";
import { readContract } from "./contract-node.ts";

/** A whole Muster of a test's own: simulator, `wrangler dev`, fresh state. */
export interface Running {
  /** Base URL with /v1. */
  url: string;
  apiKey: string;
  /** Of the process group that has workerd in it; another one after a restart. */
  pid: number;
  simulator: Simulator;
  /** Holds every response against /openapi.json. Give it to SDKs; `get` and `post` use it too. */
  fetch: typeof fetch;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  post(path: string, body: unknown): Promise<Response>;
  /** `kill -9` to the whole process tree. */
  kill(): Promise<void>;
  /** Starts again on the same state and the same upstream, after `kill`. */
  restart(): Promise<void>;
  /** @throws naming every response that was not as /openapi.json says. */
  stop(): Promise<void>;
}

/** Starts one, with the simulator's settings and Muster's variables, on fresh state or a given one. */
export async function startTestMuster(
  settings: SimulatorSettings = {},
  vars: Record<string, string> = {},
  state?: string,
): Promise<Running> {
  const simulator = await startSimulator({ latency: { kind: "fixed", ms: 20 }, ...settings });
  const stateDir = state ?? (await mkdtemp(join(tmpdir(), "muster-test-")));
  const options = {
    stateDir,
    // The Worker's own log, for looking into a failure.
    onLine: process.env.MUSTER_VERBOSE === "1" ? (line: string) => console.log(line) : () => {},
    vars: {
      MUSTER_API_KEYS: "default:sk-muster-test",
      UPSTREAM_ALLOW_PRIVATE: "1",
      ...(vars.UPSTREAMS === undefined && simulatorVars(simulator)),
      CONSUMER_LANES: vars.UPSTREAM_MAX_CONCURRENCY ?? "50",
      CONSUMER_SUBREQUESTS: "1000000000",
      CONSUMER_BACKGROUND: "1",
      ...vars,
    },
  };
  let muster: Muster = await startMuster(options);
  const contract = await readContract(() => muster.url);
  const send = (path: string, init: RequestInit): Promise<Response> => {
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${muster.apiKey}`);
    return contract.fetch(`${muster.url}${path}`, { ...init, headers });
  };
  return {
    get url() {
      return muster.url;
    },
    get apiKey() {
      return muster.apiKey;
    },
    get pid() {
      return muster.pid;
    },
    simulator,
    fetch: contract.fetch,
    get: (path, headers = {}) => send(path, { headers }),
    post: (path, body) => send(path, { method: "POST", body: JSON.stringify(body) }),
    kill: () => muster.kill(),
    async restart() {
      muster = await startMuster(options);
    },
    async stop() {
      await muster.stop();
      await simulator.close();
      await rm(stateDir, { recursive: true, force: true });
      const faults = await contract.faults();
      if (faults.length > 0) throw new Error(`not as /openapi.json says:\n${faults.join("\n")}`);
    },
  };
}
