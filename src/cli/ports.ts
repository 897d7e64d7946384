import { createServer } from "node:net";

/** A port on 127.0.0.1 that nothing listens on now. */
export async function freePort(): Promise<number> {
  return (await listenOnce(0)) ?? Promise.reject(new Error("127.0.0.1 has no free port left."));
}

/** Whether a port on 127.0.0.1 can be listened on. */
export async function isFree(port: number): Promise<boolean> {
  return (await listenOnce(port)) !== undefined;
}

/** Listens and stops; the port, or undefined when it could not be had. */
function listenOnce(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address();
      const got = typeof address === "object" ? address?.port : undefined;
      server.close(() => resolve(got));
    });
  });
}
