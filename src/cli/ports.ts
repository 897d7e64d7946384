import { createServer } from "node:net";

/**
 * Where free ports are looked for: below 32768, where Linux, macOS and Windows begin to give ports to
 * connections that go out. From there on, a port that is free now may be somebody's in a moment.
 */
const LOWEST = 20_000;
const HIGHEST = 32_767;
const TRIES = 100;

/**
 * A port on 127.0.0.1 that nothing listens on now.
 *
 * @param random - Gives 0 ≤ x < 1; picks the port, so that two who look at once rarely find the same.
 * @throws {Error} when none of a hundred picks is free.
 */
export async function freePort(random: () => number = Math.random): Promise<number> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const port = LOWEST + Math.floor(random() * (HIGHEST - LOWEST + 1));
    if (await isFree(port)) return port;
  }
  throw new Error(`${TRIES} ports of 127.0.0.1 from ${LOWEST} to ${HIGHEST} are in use.`);
}

/** Whether a port on 127.0.0.1 can be listened on. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}
