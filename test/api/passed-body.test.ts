import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { passedBody } from "../../src/api/passed-body.ts";

const SILENCE_MS = 1_000;
const piece = new TextEncoder().encode("piece ");

beforeEach(() => void vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

/** An upstream's body that gives a piece whenever one is asked for, as often as said, after a time. */
function stage({ pieces = Number.POSITIVE_INFINITY, everyMs = 0 } = {}) {
  const seen = { given: 0, cancelled: false };
  const upstream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (everyMs > 0) await new Promise((resolve) => setTimeout(resolve, everyMs));
        if (seen.given === pieces) return controller.close();
        seen.given += 1;
        controller.enqueue(piece);
      },
      cancel() {
        seen.cancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  const end = vi.fn<(text: string | undefined) => void>();
  return { seen, end, reader: passedBody(upstream, SILENCE_MS, end).getReader() };
}

describe("an answer on its way to a client", () => {
  test("that reads nothing breaks off after the time, and ends the upstream's", async () => {
    const { seen, end, reader } = stage();
    await vi.advanceTimersByTimeAsync(SILENCE_MS - 1);
    expect(end).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(end.mock.calls).toEqual([[undefined]]);
    expect(seen).toEqual({ given: 1, cancelled: true });
    await expect(reader.read()).rejects.toThrow("1000 ms");
  });

  test("that stops reading in the middle breaks off as long after its last read", async () => {
    const { end, reader } = stage();
    await reader.read();
    await vi.advanceTimersByTimeAsync(SILENCE_MS - 1);
    await reader.read();
    await vi.advanceTimersByTimeAsync(SILENCE_MS - 1);
    expect(end).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(end.mock.calls).toEqual([[undefined]]);
  });

  test("that reads slowly comes whole, however long it takes in all", async () => {
    const { seen, end, reader } = stage({ pieces: 20 });
    let read = 0;
    for (;;) {
      await vi.advanceTimersByTimeAsync(SILENCE_MS - 1);
      if ((await reader.read()).done) break;
      read += 1;
    }
    expect(read).toBe(20);
    expect(end.mock.calls).toEqual([["piece ".repeat(20)]]);
    expect(seen.cancelled).toBe(false);
    await vi.advanceTimersByTimeAsync(2 * SILENCE_MS);
    expect(end).toHaveBeenCalledTimes(1);
  });

  test("comes whole from an upstream that is slow, and not from one that is silent", async () => {
    const slow = stage({ pieces: 3, everyMs: SILENCE_MS - 1 });
    const reading = (async () => {
      while (!(await slow.reader.read()).done);
    })();
    await vi.advanceTimersByTimeAsync(4 * SILENCE_MS);
    await reading;
    expect(slow.end.mock.calls).toEqual([["piece ".repeat(3)]]);

    const silent = stage({ everyMs: 2 * SILENCE_MS });
    const broken = expect(silent.reader.read()).rejects.toThrow("1000 ms");
    await vi.advanceTimersByTimeAsync(3 * SILENCE_MS);
    await broken;
    expect(silent.end.mock.calls).toEqual([[undefined]]);
    expect(silent.seen.cancelled).toBe(true);
  });

  test("ends with its client, and the upstream's with it", async () => {
    const { seen, end, reader } = stage();
    await reader.read();
    await reader.cancel();
    expect(end.mock.calls).toEqual([[undefined]]);
    expect(seen.cancelled).toBe(true);
    await vi.advanceTimersByTimeAsync(2 * SILENCE_MS);
    expect(end).toHaveBeenCalledTimes(1);
  });
});
