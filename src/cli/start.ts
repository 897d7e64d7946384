import { ConfigError } from "../config.ts";
import { isDecision } from "../log.ts";
import { startSimulator } from "../simulator/index.ts";
import { Failure, fail } from "./failure.ts";
import { simulatorSettings, simulatorVars } from "./local-upstream.ts";
import { type MusterOptions, startMuster } from "./serve.ts";
import { readSettings, type Settings } from "./settings.ts";
import { onStopSignal } from "./signals.ts";
import { welcome } from "./welcome.ts";

/** `npm start`: serves Muster on this machine until Ctrl-C. */
async function main(): Promise<void> {
  refuseArguments(process.argv.slice(2));
  const settings = readSettings(process.env);
  const stopping = onStopSignal();
  const simulator = settings.simulated
    ? await startSimulator(simulatorSettings(settings))
    : undefined;
  try {
    const vars = { ...settings.vars, ...(simulator && simulatorVars(simulator)) };
    console.log("Starting Muster…");
    await serve(settings, { ...settings, vars, onLine: teller(settings.verbose) }, stopping);
  } finally {
    await simulator?.close();
  }
}

function refuseArguments(given: readonly string[]): void {
  if (given.length === 0) return;
  throw new Failure(
    `npm start takes no arguments, and got: ${given.join(" ")}\nSettings are environment variables, as in PORT=8080 npm start. All of them: src/config/README.md.`,
  );
}

async function serve(
  settings: Settings,
  options: MusterOptions,
  stopping: AbortSignal,
): Promise<void> {
  const stopped = new Promise<void>((resolve) => {
    stopping.addEventListener("abort", () => resolve(), { once: true });
  });
  const muster = await startMuster({ ...options, signal: stopping });
  console.log(welcome(settings, muster));
  const lastWords = await Promise.race([muster.died, stopped]);
  await muster.stop();
  if (lastWords !== undefined) {
    throw new Failure(
      `Muster ended by itself. What it had recorded is safe in ${settings.stateDir}; npm start goes on from there. It said:\n\n${lastWords}`,
    );
  }
  console.log("Stopped.");
}

/** Prints all that wrangler says, or only the trouble that the Worker logged, and crashes. */
function teller(verbose: boolean): (line: string) => void {
  return (line) => {
    const [, event] = /\{"event":"(\w+)"/.exec(line) ?? [];
    const worth = event === undefined ? line.includes("crashed unexpectedly") : !isDecision(event);
    if (verbose || worth) console.error(line);
  };
}

main().catch((error: unknown) => {
  if (error instanceof DOMException && error.name === "AbortError") return;
  fail(error instanceof ConfigError ? new Failure(error.message) : error);
});
