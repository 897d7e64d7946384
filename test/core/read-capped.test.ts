import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readCapped } from "../../src/core/read-capped.ts";

const encoder = new TextEncoder();

/** A body that counts how many chunks were asked of it, and whether it was let go. */
function bodyOf(chunks: Uint8Array[], then: "end" | "break" = "end") {
  const seen = { pulled: 0, cancelled: false };
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const chunk = chunks[seen.pulled];
        seen.pulled += 1;
        if (chunk !== undefined) controller.enqueue(chunk);
        else if (then === "end") controller.close();
        else controller.error(new Error("connection reset"));
      },
      cancel() {
        seen.cancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { body, seen };
}

/** The bytes in pieces, cut at the given places. */
function cutAt(bytes: Uint8Array, places: number[]): Uint8Array[] {
  const cuts = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length];
  cuts.sort((a, b) => a - b);
  return cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end));
}

describe("readCapped", () => {
  test("gives the same text however the body is cut, inside characters too", async () => {
    const cuts = fc.array(fc.nat(), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary" }), cuts, async (text, places) => {
        const bytes = encoder.encode(`x${text}`);
        const { body } = bodyOf(cutAt(bytes, places));
        expect(await readCapped({ body }, bytes.length)).toBe(new TextDecoder().decode(bytes));
      }),
    );
  });

  test("takes exactly the cap, in bytes and not in characters", async () => {
    const bytes = encoder.encode("äöü");
    expect(await readCapped(bodyOf([bytes]), 6)).toBe("äöü");
    expect(await readCapped(bodyOf([bytes]), 5)).toBeUndefined();
  });

  test("reads no further than the chunk that goes past the cap, and lets the body go", async () => {
    const chunk = new Uint8Array(10);
    const { body, seen } = bodyOf([chunk, chunk, chunk, chunk, chunk]);
    expect(await readCapped({ body }, 15)).toBeUndefined();
    expect(seen).toEqual({ pulled: 2, cancelled: true });
  });

  test("leaves what it does not read to somebody else, if it is asked to", async () => {
    const chunk = new Uint8Array(10);
    const { body, seen } = bodyOf([chunk, chunk, chunk]);
    expect(await readCapped({ body }, 15, { leaveRest: true })).toBeUndefined();
    expect(await body.getReader().read()).toEqual({ done: false, value: chunk });
    expect(seen).toEqual({ pulled: 3, cancelled: false });
    const wrong = bodyOf([Uint8Array.of(0xff), chunk]).body;
    const options = { fatal: true, leaveRest: true };
    await expect(readCapped({ body: wrong }, 15, options)).rejects.toThrow(TypeError);
    expect(wrong.locked).toBe(false);
  });

  test("is empty text for no body and for an empty one", async () => {
    expect(await readCapped({ body: null }, 0)).toBe("");
    expect(await readCapped(bodyOf([]), 0)).toBe("");
  });

  test("keeps a character that the body breaks off in as a replacement character", async () => {
    expect(await readCapped(bodyOf([encoder.encode("aä").subarray(0, 2)]), 10)).toBe("a\ufffd");
  });

  test("throws what broke the body off", async () => {
    const { body } = bodyOf([encoder.encode('{"half":')], "break");
    await expect(readCapped({ body }, 100)).rejects.toThrow("connection reset");
  });

  test("throws when the signal of the call fires while it reads", async () => {
    const abort = new AbortController();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        abort.signal.addEventListener("abort", () => controller.error(abort.signal.reason));
      },
    });
    const reading = readCapped({ body }, 100);
    abort.abort(new Error("too slow"));
    await expect(reading).rejects.toThrow("too slow");
  });
});
