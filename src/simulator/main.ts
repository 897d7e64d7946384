import { parseArgs } from "node:util";
import { SettingsError, startSimulator } from "./index.ts";

/** `main.ts [--port N] [--settings JSON]`: runs a simulator until SIGINT or SIGTERM. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "0" },
      settings: { type: "string", default: "{}" },
    },
  });
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new SettingsError(`--port: not a port: ${values.port}`);
  }
  const simulator = await startSimulator(JSON.parse(values.settings), { port });
  const stop = () => void simulator.close();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  // Started with a channel to its parent, it does not outlive it.
  process.once("disconnect", stop);
  process.channel?.unref();
  console.log(simulator.url);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
