import { Readable } from "node:stream";
import { within } from "./read-rest.ts";

/** A body as Node's streams take it. */
export interface NodeBody {
  stream: Readable;
  /** Ends the stream, and leaves what was not read of the body to be read by somebody else. */
  letGo(): Promise<void>;
}

/** Unlike `Readable.fromWeb`, which cancels the body when its stream is destroyed. */
export function nodeBody(body: ReadableStream<Uint8Array>): NodeBody {
  let free: Promise<void> = Promise.resolve();
  async function* chunks() {
    const reader = body.getReader();
    const freed = Promise.withResolvers<void>();
    free = freed.promise;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        yield value;
      }
    } finally {
      reader.releaseLock();
      freed.resolve();
    }
  }
  const stream = Readable.from(chunks(), { objectMode: false });
  return {
    stream,
    async letGo() {
      stream.destroy();
      // A read that is under way ends with the next bytes, which may not come.
      await within(free);
    },
  };
}
