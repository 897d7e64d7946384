import type { IncomingMessage } from "node:http";

const maxBytes = 64 * 1024 * 1024;

/** Reads a request's body as text and hands it on; undefined when it is over 64 MiB. */
export function readBody(request: IncomingMessage, next: (text: string | undefined) => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  request.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
  });
  request.on("end", () => {
    const [only] = chunks;
    if (size > maxBytes) next(undefined);
    else if (chunks.length === 1 && only) next(only.toString());
    else next(Buffer.concat(chunks).toString());
  });
}
