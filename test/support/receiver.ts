import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

/** One webhook as it came in. */
export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** A webhook receiver over real HTTP. */
export interface Receiver {
  url: string;
  received: Received[];
  close(): Promise<void>;
}

/**
 * Starts a receiver. The path says how it answers: `/ok/…` 200, `/gone/…` 410, `/moved/…` 302 to
 * `/ok/…`, `/flaky/…` 503 the first time and 200 after that. `GET /received` lists what came.
 */
export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "/";
    if (request.method === "GET" && path === "/received") {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(received));
      return;
    }
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const before = received.filter((one) => one.path === path).length;
      received.push({ path, headers: request.headers, body: Buffer.concat(chunks).toString() });
      if (path.startsWith("/gone/")) response.statusCode = 410;
      if (path.startsWith("/flaky/") && before === 0) response.statusCode = 503;
      if (path.startsWith("/moved/")) {
        response.statusCode = 302;
        response.setHeader("location", path.replace("/moved/", "/ok/"));
      }
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
