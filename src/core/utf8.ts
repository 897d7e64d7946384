/**
 * UTF-8 out of bytes as they come, strictly: what is not UTF-8 is refused by its line, where a lenient
 * decoder would put U+FFFD in the place of what somebody wrote. A byte order mark is dropped.
 */

const LINE_FEED = 0x0a;

/** What is thrown for bytes that are no UTF-8. */
export class NotUtf8 extends Error {
  /** The line of the first of them, from 1; lines end at LF. */
  readonly line: number;

  constructor(line: number) {
    super(`line ${line} is not UTF-8`);
    this.line = line;
  }
}

/** Decodes pushed bytes. The text does not depend on where the chunks were cut. */
export class Utf8Decoder {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
  #line = 1;

  /** @throws {NotUtf8} after which it is of no more use. */
  push(chunk: Uint8Array): string {
    let text = "";
    let start = 0;
    for (;;) {
      const feed = chunk.indexOf(LINE_FEED, start);
      if (feed === -1) break;
      // No character of several bytes has an LF in it, so whatever is wrong is wrong in this line.
      text += this.#decode(chunk.subarray(start, feed + 1));
      this.#line += 1;
      start = feed + 1;
    }
    return text + this.#decode(chunk.subarray(start));
  }

  /** @throws {NotUtf8} when the last character is cut off. */
  end(): void {
    this.#decode(undefined);
  }

  #decode(bytes: Uint8Array | undefined): string {
    try {
      return this.#decoder.decode(bytes, { stream: bytes !== undefined });
    } catch {
      throw new NotUtf8(this.#line);
    }
  }
}
