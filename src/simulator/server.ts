import { createServer } from "node:http";
import { createHandler } from "./router.ts";
import type { SimulatorSettings } from "./settings.ts";
import type { Stats } from "./stats.ts";
import { Upstream } from "./upstream.ts";

/** A running simulator. */
export interface Simulator {
  /** The base URL for clients: `http://127.0.0.1:PORT/v1`. */
  readonly url: string;
  readonly port: number;
  stats(): Stats;
  /** The latencies of the answered calls in milliseconds, in the order they were answered. */
  latencies(): number[];
  /** Replaces all settings. Counts stay, buckets are full again. Throws `SettingsError`. */
  configure(settings: SimulatorSettings): void;
  /** Forgets every count, prompt and attempt and refills the buckets. The settings stay. */
  reset(): void;
  /** Stops at once: hung and waiting calls are cut off. */
  close(): Promise<void>;
}

/**
 * Starts an upstream on 127.0.0.1 that speaks OpenAI's API and Anthropic's `/v1/messages`, and whose
 * answers, latencies and faults follow from seed, prompt and model. Without a port it takes a free
 * one. Throws `SettingsError`.
 */
export async function startSimulator(
  settings: SimulatorSettings = {},
  options: { port?: number } = {},
): Promise<Simulator> {
  const upstream = new Upstream(settings);
  const server = createServer(createHandler(upstream));
  // Closing an idle connection while its client reuses it would be a reset nobody asked for.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port: options.port ?? 0, host: "127.0.0.1", backlog: 4096 }, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  upstream.origin = `http://127.0.0.1:${address.port}`;
  return {
    url: `${upstream.origin}/v1`,
    port: address.port,
    stats: () => upstream.tally.stats(),
    latencies: () => upstream.tally.latenciesMs(),
    configure: (next) => upstream.configure(next),
    reset: () => upstream.reset(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
