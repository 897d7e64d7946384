import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";

/** A webhook receiver that only notes when it was told of which batch. */
export interface Bell {
  url: string;
  /** Resolves with the moment (`performance.now()`) at which the batch's webhook came. */
  rung(batchId: string): Promise<number>;
  close(): Promise<void>;
}

const event = z.object({ data: z.object({ id: z.string() }) });

/** Opens one on a free port of 127.0.0.1. */
export async function openBell(): Promise<Bell> {
  const rings = new Map<string, PromiseWithResolvers<number>>();
  const ringOf = (id: string) => {
    const ring = rings.get(id) ?? Promise.withResolvers<number>();
    rings.set(id, ring);
    return ring;
  };
  const server = createServer((request, response) => {
    const atMs = performance.now();
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const said = event.safeParse(JSON.parse(Buffer.concat(chunks).toString()));
      if (said.success) ringOf(said.data.data.id).resolve(atMs);
      response.end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    rung: (id) => ringOf(id).promise,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
