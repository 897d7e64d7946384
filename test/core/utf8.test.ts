import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NotUtf8, Utf8Decoder } from "../../src/core/utf8.ts";

/** Decodes the bytes, cut at the given places. */
function decode(bytes: Uint8Array, cuts: number[] = []): string {
  const decoder = new Utf8Decoder();
  let text = "";
  let start = 0;
  for (const cut of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
    text += decoder.push(bytes.subarray(start, cut));
    start = Math.max(start, cut);
  }
  decoder.end();
  return text;
}

describe("bytes that are UTF-8", () => {
  test("are decoded wherever they are cut", () => {
    const cut = fc.tuple(fc.string({ unit: "grapheme" }), fc.array(fc.nat(200)));
    fc.assert(
      fc.property(cut, ([text, cuts]) => {
        const bytes = new TextEncoder().encode(`.${text}\n空\u2028🌊`);
        const within = cuts.map((at) => Math.min(at, bytes.length));
        expect(decode(bytes, within)).toBe(`.${text}\n空\u2028🌊`);
      }),
    );
  });

  test("lose a byte order mark at the beginning alone", () => {
    const bytes = new TextEncoder().encode("\uFEFFa\n\uFEFFb");
    expect(decode(bytes, [1, 2])).toBe("a\n\uFEFFb");
  });
});

describe("bytes that are not UTF-8", () => {
  test.each([
    ["Shift_JIS", [0x61, 0x0a, 0x62, 0x0a, 0x93, 0xfa, 0x0a], 3],
    ["Latin-1", [0x63, 0x61, 0x66, 0xe9, 0x0a, 0x61], 1],
    ["UTF-16 with its mark", [0xff, 0xfe, 0x61, 0x00, 0x0a, 0x00], 1],
    ["a character that an LF cuts off", [0x61, 0x0a, 0xe3, 0x81, 0x0a], 2],
    ["a character that the end cuts off", [0x61, 0x0a, 0xe3, 0x81], 2],
  ])("are refused by their line: %s", (_, bytes, line) => {
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      expect(() => decode(Uint8Array.from(bytes), [cut])).toThrow(new NotUtf8(line));
    }
  });
});
