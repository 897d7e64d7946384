/**
 * JSON Lines (https://jsonlines.org): UTF-8, one value a line, lines ended by `\n` with an optional
 * `\r` before it. U+2028, U+2029 and a `\r` on its own are ordinary characters: JSON allows them
 * inside strings (the first two) or as white space (the last).
 */

/** One line that is not blank, or what is wrong with it. */
export type Line = {
  /** 1-based, counting blank lines too, as an editor does. */
  number: number;
  /** Offset in bytes just past the line and its terminator: reading can resume there. */
  end: number;
} & ({ text: string } | { problem: "too_long" | "invalid_utf8" });

export interface JsonlSplitterOptions {
  /** The longest line allowed, in bytes without its terminator. */
  maxLineBytes: number;
  /** Where the first pushed byte stands in the file: the `end` of the last line read. */
  offset?: number;
  /** The `number` of the last line read. */
  line?: number;
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BOM = [0xef, 0xbb, 0xbf];

/**
 * Splits pushed bytes into lines. The lines do not depend on where the chunks were cut. A line's
 * unfinished rest is copied, at most `maxLineBytes + 1` bytes of it, so a chunk's buffer may be
 * used again and a line without an end takes bounded memory. Never throws: a bad line is reported
 * in its place and the next ones are read.
 */
export class JsonlSplitter {
  readonly #maxLineBytes: number;
  #decoder = newDecoder();
  #offset: number;
  #lineStart: number;
  #line: number;
  #held = new Uint8Array(0);
  #heldLength = 0;
  #overflowed = false;

  constructor(options: JsonlSplitterOptions) {
    this.#maxLineBytes = options.maxLineBytes;
    this.#offset = options.offset ?? 0;
    this.#lineStart = this.#offset;
    this.#line = options.line ?? 0;
  }

  /** The lines that this chunk ends. */
  push(chunk: Uint8Array): Line[] {
    const lines: Line[] = [];
    let start = 0;
    for (;;) {
      const feed = chunk.indexOf(LINE_FEED, start);
      if (feed === -1) break;
      this.#finish(chunk.subarray(start, feed), true, this.#offset + feed + 1, lines);
      start = feed + 1;
    }
    this.#hold(chunk.subarray(start));
    this.#offset += chunk.length;
    return lines;
  }

  /** The last line, when nothing ends it but the end of the file. */
  end(): Line[] {
    const lines: Line[] = [];
    if (this.#offset > this.#lineStart) {
      this.#finish(new Uint8Array(0), false, this.#offset, lines);
    }
    return lines;
  }

  #finish(rest: Uint8Array, terminated: boolean, end: number, lines: Line[]): void {
    let bytes = rest;
    if (this.#heldLength > 0 || this.#overflowed) {
      this.#hold(rest);
      bytes = this.#held.subarray(0, this.#heldLength);
    }
    const overflowed = this.#overflowed;
    const atFileStart = this.#lineStart === 0;
    this.#line += 1;
    this.#lineStart = end;
    this.#heldLength = 0;
    this.#overflowed = false;

    if (terminated && bytes.at(-1) === CARRIAGE_RETURN) bytes = bytes.subarray(0, -1);
    const number = this.#line;
    if (overflowed || bytes.length > this.#maxLineBytes) {
      lines.push({ number, end, problem: "too_long" });
      return;
    }
    if (atFileStart && BOM.every((byte, index) => bytes[index] === byte)) bytes = bytes.subarray(3);
    const text = this.#decode(bytes);
    if (text === undefined) lines.push({ number, end, problem: "invalid_utf8" });
    else if (/\S/.test(text)) lines.push({ number, end, text });
  }

  /** One byte over the limit is kept, because it may be the `\r` that does not count. */
  #hold(bytes: Uint8Array): void {
    const length = this.#heldLength + bytes.length;
    const most = this.#maxLineBytes + 1;
    if (this.#overflowed || length > most) {
      this.#overflowed = true;
      this.#heldLength = 0;
      return;
    }
    if (length > this.#held.length) {
      const grown = new Uint8Array(Math.min(most, Math.max(length, this.#held.length * 2)));
      grown.set(this.#held.subarray(0, this.#heldLength));
      this.#held = grown;
    }
    this.#held.set(bytes, this.#heldLength);
    this.#heldLength = length;
  }

  #decode(bytes: Uint8Array): string | undefined {
    try {
      return this.#decoder.decode(bytes);
    } catch {
      // What a decoder keeps of a line it refused is not worth relying on.
      this.#decoder = newDecoder();
      return undefined;
    }
  }
}

function newDecoder() {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
}
