import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { projectDir } from "../../src/cli/workspace.ts";
import type { SimulatorSettings, Stats, Timeline } from "../../src/simulator/index.ts";

/** A simulator in a process of its own: what it costs is nobody's cost. */
export interface SimulatorProcess {
  /** Base URL for callers, with /v1. */
  url: string;
  /** New settings, all counts at nought, buckets full. */
  prepare(settings: SimulatorSettings): Promise<void>;
  stats(): Promise<Stats>;
  /** How calls ended, second by second. */
  timeline(): Promise<Timeline>;
  stop(): Promise<void>;
}

/** Starts one on a free port. */
export async function startSimulatorProcess(): Promise<SimulatorProcess> {
  const child = spawn(process.execPath, [join(projectDir, "src/simulator/main.ts")], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  const ended = once(child, "exit");
  const url = await Promise.race([
    firstLine(child.stdout),
    ended.then(() => Promise.reject(new Error("the simulator ended before it began"))),
  ]);
  const ask = async (method: string, route: string, body?: object): Promise<unknown> => {
    const response = await fetch(`${new URL(url).origin}/_sim/${route}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`the simulator refused ${route}: ${await response.text()}`);
    return response.json();
  };
  return {
    url,
    prepare: async (settings) => {
      await ask("PUT", "settings", settings);
      await ask("POST", "reset");
    },
    stats: async () => (await ask("GET", "stats")) as Stats,
    timeline: async () => (await ask("GET", "timeline")) as Timeline,
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

async function firstLine(output: Readable | null): Promise<string> {
  if (output !== null) for await (const line of createInterface({ input: output })) return line;
  throw new Error("the simulator did not say where it listens");
}
