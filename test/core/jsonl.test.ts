import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JsonlSplitter, type JsonlSplitterOptions, type Line } from "../../src/core/jsonl.ts";

const encoder = new TextEncoder();
const NO_LIMIT = { maxLineBytes: 1_000_000 };

/** Pushes the bytes cut at the given places, through one buffer that is overwritten each time. */
function split(bytes: Uint8Array, cuts: number[], options: JsonlSplitterOptions): Line[] {
  const splitter = new JsonlSplitter(options);
  const buffer = new Uint8Array(bytes.length);
  const lines: Line[] = [];
  let start = 0;
  for (const cut of [...cuts.sort((a, b) => a - b), bytes.length]) {
    const end = Math.max(start, Math.min(cut, bytes.length));
    const chunk = buffer.subarray(0, end - start);
    chunk.set(bytes.subarray(start, end));
    lines.push(...splitter.push(chunk));
    buffer.fill(0xff);
    start = end;
  }
  lines.push(...splitter.end());
  expect(splitter.end()).toEqual([]);
  return lines;
}

function splitText(text: string, options: JsonlSplitterOptions = NO_LIMIT): Line[] {
  return split(encoder.encode(text), [], options);
}

function texts(lines: Line[]): unknown[] {
  return lines.map((line) => ("text" in line ? line.text : line.problem));
}

const piece = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom("\n", "\r\n", "\r", "\uFEFF", "\u2028", "\u2029", " ", "\t", "漢字", "😀", "{}"),
);
const file = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(""));
const cuts = fc.array(fc.nat({ max: 120 }), { maxLength: 40 });

/** The same by hand on whole text: the property tests compare against it. */
function expected(text: string, maxLineBytes: number): Line[] {
  const parts = text.split("\n");
  const lines: Line[] = [];
  let end = 0;
  for (const [index, part] of parts.entries()) {
    const last = index === parts.length - 1;
    if (last && part === "") break;
    end += encoder.encode(part).length + (last ? 0 : 1);
    const line = last || !part.endsWith("\r") ? part : part.slice(0, -1);
    const number = index + 1;
    const content = index === 0 && line.startsWith("\uFEFF") ? line.slice(1) : line;
    if (encoder.encode(line).length > maxLineBytes)
      lines.push({ number, end, problem: "too_long" });
    else if (content.trim() !== "") lines.push({ number, end, text: content });
  }
  return lines;
}

describe("lines", () => {
  test("are the same for any Unicode text, any limit and any chunk boundaries", () => {
    fc.assert(
      fc.property(file, cuts, fc.integer({ min: 1, max: 60 }), (text, at, maxLineBytes) => {
        const lines = split(encoder.encode(text), at, { maxLineBytes });
        expect(lines).toEqual(expected(text, maxLineBytes));
      }),
      { numRuns: 1000 },
    );
  });

  test("are the same for any bytes and any chunk boundaries", () => {
    const bytes = fc.array(
      fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0x0a, 0x0d, 0xef, 0xbb, 0xbf, 0xe2, 0x20)),
      { maxLength: 80 },
    );
    fc.assert(
      fc.property(bytes, cuts, fc.integer({ min: 1, max: 20 }), (values, at, maxLineBytes) => {
        const file = Uint8Array.from(values);
        expect(split(file, at, { maxLineBytes })).toEqual(split(file, [], { maxLineBytes }));
      }),
      { numRuns: 1000 },
    );
  });

  test("after a resume at any line are the rest", () => {
    fc.assert(
      fc.property(file, cuts, fc.integer({ min: 1, max: 60 }), (text, at, maxLineBytes) => {
        const bytes = encoder.encode(text);
        const lines = split(bytes, [], { maxLineBytes });
        for (const [index, { end, number }] of lines.entries()) {
          const options = { maxLineBytes, offset: end, line: number };
          expect(split(bytes.subarray(end), at, options)).toEqual(lines.slice(index + 1));
        }
      }),
    );
  });

  test("come one byte at a time, inside characters and between CR and LF", () => {
    const bytes = encoder.encode('{"a":"漢字😀"}\r\n{"b":2}\r\n');
    const everywhere = Array.from(bytes.keys());
    expect(texts(split(bytes, everywhere, NO_LIMIT))).toEqual(['{"a":"漢字😀"}', '{"b":2}']);
  });

  test("come as soon as their terminator does", () => {
    const splitter = new JsonlSplitter(NO_LIMIT);
    expect(splitter.push(encoder.encode("a"))).toEqual([]);
    expect(splitter.push(encoder.encode("b\nc"))).toEqual([{ number: 1, end: 3, text: "ab" }]);
    expect(splitter.end()).toEqual([{ number: 2, end: 4, text: "c" }]);
  });

  test("end at LF and CRLF only", () => {
    expect(texts(splitText("a\u2028b\u2029c\rd\re\r\r\nf"))).toEqual([
      "a\u2028b\u2029c\rd\re\r",
      "f",
    ]);
  });

  test("that are blank are left out but counted", () => {
    expect(splitText("\n \t\r\na\n\n\nb\n\n")).toEqual([
      { number: 3, end: 7, text: "a" },
      { number: 6, end: 11, text: "b" },
    ]);
  });

  test("of an empty file are none", () => {
    expect(splitText("")).toEqual([]);
    expect(splitText("\uFEFF")).toEqual([]);
  });
});

describe("a byte order mark", () => {
  test("is dropped at the start of the file", () => {
    expect(splitText("\uFEFF{}\n")).toEqual([{ number: 1, end: 6, text: "{}" }]);
  });

  test("is kept anywhere else", () => {
    expect(texts(splitText("a\n\uFEFFb"))).toEqual(["a", "\uFEFFb"]);
    expect(texts(splitText("\uFEFFb", { ...NO_LIMIT, offset: 2, line: 1 }))).toEqual(["\uFEFFb"]);
  });
});

describe("problems", () => {
  test("do not stop the lines after them", () => {
    const bytes = Uint8Array.from([0x61, 0x0a, 0xff, 0x0a, 0x62, 0x0a, 0xe2, 0x82]);
    expect(split(bytes, [], NO_LIMIT)).toEqual([
      { number: 1, end: 2, text: "a" },
      { number: 2, end: 4, problem: "invalid_utf8" },
      { number: 3, end: 6, text: "b" },
      { number: 4, end: 8, problem: "invalid_utf8" },
    ]);
  });

  test("of length begin one byte past the limit, the terminator not counted", () => {
    expect(texts(splitText("abcd\nabcd\r\nabcde\nabcde\r\nabcd", { maxLineBytes: 4 }))).toEqual([
      "abcd",
      "abcd",
      "too_long",
      "too_long",
      "abcd",
    ]);
  });

  test("of an endless line take bounded memory", () => {
    const chunk = new Uint8Array(1024 * 1024).fill(0x61);
    const splitter = new JsonlSplitter({ maxLineBytes: 1024 * 1024 + 7 });
    const before = process.memoryUsage().arrayBuffers;
    for (let pushed = 0; pushed < 256; pushed += 1) expect(splitter.push(chunk)).toEqual([]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
    const end = 256 * chunk.length;
    expect(splitter.end()).toEqual([{ number: 1, end, problem: "too_long" }]);
  });
});
