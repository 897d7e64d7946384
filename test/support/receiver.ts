import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { freePort } from "../../src/cli/ports.ts";

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

/** How long `/slow/…` takes to answer. */
const SLOW_MS = 700;
/** The pieces that `/drip/…` sends its answer in, and the time between two. */
const DRIP = ['{"object":', '"chat.completion",', '"choices":[]', "}"];
const DRIP_MS = 60;

/**
 * Starts a receiver. The path says how it answers: `/ok/…` 200, `/gone/…` 410, `/moved/…` 302 to
 * `/ok/…`, `/flaky/…` 503 the first time and 200 after that, `/busy/…` 429 the first time with a
 * retry-after of two hours, `/slow/…` 200 after a while, `/hung/…` never, `/status/CODE/…` that
 * status with a location, `/after/CODE/VALUE/…` that status with a retry-after, `/drip/…` JSON piece
 * by piece. `GET /received` lists what came.
 *
 * `POST /doors` gives the URL of a door that is closed: nobody listens there. `POST /doors/PORT`
 * opens it.
 */
export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  const servers: Server[] = [];
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? "/";
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", async () => {
      const door = /^\/doors(?:\/(?<port>\d+))?$/.exec(path)?.groups;
      if (door !== undefined) {
        response.setHeader("content-type", "application/json");
        const opened = door.port === undefined ? await freePort() : await listen(Number(door.port));
        response.end(JSON.stringify({ url: `http://127.0.0.1:${opened}` }));
        return;
      }
      const before = received.filter((one) => one.path === path).length;
      received.push({ path, headers: request.headers, body: Buffer.concat(chunks).toString() });
      behave(path, before, response);
    });
  };
  const listen = (port: number): Promise<number> => {
    const server = createServer((request, response) => {
      if (request.method === "GET" && request.url === "/received") {
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify(received));
      } else answer(request, response);
    });
    servers.push(server);
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
    });
  };
  const port = await listen(0);
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    close: async () => {
      await Promise.all(servers.map(closed));
    },
  };
}

function behave(path: string, before: number, response: ServerResponse): void {
  const [, kind, status, value = ""] = path.split("/");
  switch (kind) {
    case "gone":
      response.statusCode = 410;
      break;
    case "flaky":
      if (before === 0) response.statusCode = 503;
      break;
    case "busy":
      if (before > 0) break;
      response.statusCode = 429;
      response.setHeader("retry-after", "7200");
      break;
    case "moved":
      response.statusCode = 302;
      response.setHeader("location", path.replace("/moved/", "/ok/"));
      break;
    case "status":
      response.statusCode = Number(status);
      response.setHeader("location", "/ok/another-path");
      break;
    case "after":
      response.statusCode = Number(status);
      response.setHeader("retry-after", decodeURIComponent(value));
      break;
    case "slow":
      setTimeout(() => response.end(), SLOW_MS);
      return;
    case "drip":
      drip(response);
      return;
    case "hung":
      return;
  }
  response.end();
}

function drip(response: ServerResponse): void {
  response.setHeader("content-type", "application/json");
  response.flushHeaders();
  for (const [index, piece] of DRIP.entries()) {
    setTimeout(() => response.write(piece), index * DRIP_MS);
  }
  setTimeout(() => response.end(), DRIP.length * DRIP_MS);
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.closeAllConnections();
    server.close(() => resolve());
  });
}
