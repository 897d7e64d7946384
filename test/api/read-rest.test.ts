import { expect, test } from "vitest";
import { nodeBody } from "../../src/api/node-body.ts";
import { readRest } from "../../src/api/read-rest.ts";

const CHUNK = new Uint8Array(1_000);

/** A body of so many chunks of 1,000 bytes, which counts those that were asked for. */
function bodyOf(chunks: number, then: "end" | "break" | "silence" = "end") {
  const seen = { pulled: 0, cancelled: false };
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        seen.pulled += 1;
        if (seen.pulled <= chunks) return controller.enqueue(CHUNK);
        if (then === "end") return controller.close();
        if (then === "break") return controller.error(new Error("connection reset"));
        return new Promise(() => undefined);
      },
      cancel() {
        seen.cancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { body, seen };
}

test("the rest of a body is read to its end, from where somebody let go of it", async () => {
  const { body, seen } = bodyOf(100);
  const reader = body.getReader();
  await reader.read();
  reader.releaseLock();
  await readRest(body);
  expect(seen).toEqual({ pulled: 101, cancelled: false });
});

test("a body without an end is read no further than so many bytes", async () => {
  const { body, seen } = bodyOf(Number.POSITIVE_INFINITY);
  await readRest(body, { maxBytes: 50_000 });
  expect(seen).toEqual({ pulled: 51, cancelled: true });
});

test("a client that waits for its answer, or is gone, is not waited for", async () => {
  await readRest(bodyOf(3, "silence").body, { silenceMs: 1 });
  await readRest(bodyOf(3, "break").body);
});

test("a body that somebody still reads is left alone", async () => {
  const { body, seen } = bodyOf(3);
  body.getReader();
  await readRest(body);
  expect(seen.pulled).toBe(0);
});

test("a stream of Node's that is given up leaves the rest of its body", async () => {
  const { body, seen } = bodyOf(100);
  const { stream, letGo } = nodeBody(body);
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    expect(chunk).toEqual(Buffer.from(CHUNK));
    break;
  }
  await letGo();
  expect(seen.pulled).toBeLessThan(10);
  await readRest(body);
  expect(seen).toEqual({ pulled: 101, cancelled: false });
});

test("a stream of Node's that nobody read leaves all of its body", async () => {
  const { body, seen } = bodyOf(100);
  await nodeBody(body).letGo();
  expect(body.locked).toBe(false);
  await readRest(body);
  expect(seen).toEqual({ pulled: 101, cancelled: false });
});
