import { createServer, request as send } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** A way to a server on which things get lost. */
export interface LossyProxy {
  url: string;
  /** The replies to the next requests of a method whose path ends so are lost. */
  loseReplies(method: string, pathEnd: string, count: number): void;
  /** Cuts every connection there is. */
  cut(): void;
  /** Requests let through, as `METHOD path`, in order. */
  passed: string[];
  close(): Promise<void>;
}

/**
 * Starts one. A lost reply is one that the server gave in full and the client never saw: its
 * connection breaks instead.
 *
 * @param origin where requests go, now: the server may have another port after a restart.
 */
export async function startLossyProxy(origin: () => string): Promise<LossyProxy> {
  const losses: { method: string; pathEnd: string }[] = [];
  const passed: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const { method = "GET", url: path = "/", headers } = request;
    passed.push(`${method} ${path}`);
    const index = losses.findIndex((one) => one.method === method && path.endsWith(one.pathEnd));
    const lost = index >= 0;
    if (lost) losses.splice(index, 1);
    const onward = send(new URL(path, origin()), { method, headers }, (reply) => {
      if (lost) {
        reply.resume();
        reply.on("end", () => request.socket.destroy());
        return;
      }
      response.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(response);
      reply.on("error", () => response.destroy());
    });
    onward.on("error", () => request.socket.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    loseReplies(method, pathEnd, count) {
      for (let lost = 0; lost < count; lost += 1) losses.push({ method, pathEnd });
    },
    cut,
    passed,
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
