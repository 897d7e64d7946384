/**
 * Cuts the elements of one array out of a JSON object that comes in pieces, so that a body of any
 * length takes the memory of one element. Bytes are enough: in UTF-8 the characters of JSON's own
 * grammar stand for nothing else.
 *
 * It finds where elements begin and end and judges nothing: whether an element is JSON its reader
 * finds out, and whether all around it is, by parsing {@link ElementSplitter.rest}.
 */
export interface SplitterOptions {
  /** The member of the outermost object whose value is the array. */
  member: string;
  /** The longest element, in bytes. */
  maxElementBytes: number;
  /** The most bytes of all that is not an element. */
  maxRestBytes: number;
}

/** One element's text, or what is wrong with it. */
export type Element = { text: string } | { problem: "too_long" | "invalid_utf8" };

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Splits pushed bytes. What it gives does not depend on where the pieces were cut. */
export class ElementSplitter {
  readonly #member: string;
  readonly #element: Held;
  readonly #rest: Held;
  readonly #key: Held;
  /** Brackets and braces that are open. */
  #depth = 0;
  #inString = false;
  /** The next byte is escaped by the backslash before it. */
  #escaped = false;
  /** Between the brackets of the array. */
  #inside = false;
  /** The string under way, or the last one, is a member's name of the outermost object. */
  #atKey = false;
  /** The next value is that of the member. */
  #awaited = false;
  #objectOpened = false;
  #arrays = 0;
  #elements = 0;
  /** The element under way has a byte that is not white space. */
  #begun = false;
  /** The next backslash of the chunk at hand: looked for once, not once a string. */
  #backslashAt = -1;

  constructor({ member, maxElementBytes, maxRestBytes }: SplitterOptions) {
    this.#member = member;
    this.#element = new Held(maxElementBytes);
    this.#rest = new Held(maxRestBytes);
    // A longer name is none that is looked for.
    this.#key = new Held(6 * member.length + 2);
  }

  /** How often the member came with an array. Of two, JSON's readers take the last only. */
  get arrays(): number {
    return this.#arrays;
  }

  /** The elements that this chunk ends. */
  push(chunk: Uint8Array): Element[] {
    const found: Element[] = [];
    this.#backslashAt = -1;
    /** From where on the chunk is not held yet. */
    let from = 0;
    const hold = (to: number) => {
      if (to > from) (this.#inside ? this.#element : this.#rest).add(chunk, from, to);
      from = to;
    };
    let at = 0;
    while (at < chunk.length) {
      if (this.#inString) {
        at = this.#throughString(chunk, at);
        continue;
      }
      const byte = chunk[at] ?? 0;
      at += 1;
      if (isSpace(byte)) continue;
      if (this.#inside && this.#depth === 2 && (byte === COMMA || isClosing(byte))) {
        hold(at - 1);
        // An array without elements has none, and every comma ends one.
        if (byte === COMMA || this.#begun || this.#elements > 0) found.push(this.#take());
        if (byte === COMMA) {
          from = at;
        } else {
          this.#element.clear();
          this.#inside = false;
          this.#depth = 1;
        }
        continue;
      }
      this.#begun = true;
      switch (byte) {
        case QUOTE:
          this.#inString = true;
          if (this.#atKey && this.#depth === 1) {
            this.#key.clear();
            this.#key.add(chunk, at - 1, at);
          }
          break;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          this.#depth += 1;
          if (this.#depth === 1) {
            this.#objectOpened = byte === OPEN_BRACE;
            this.#atKey = this.#objectOpened;
          } else if (this.#depth === 2 && this.#awaited && byte === OPEN_BRACKET) {
            hold(at);
            this.#inside = true;
            this.#arrays += 1;
            this.#elements = 0;
            this.#begun = false;
          }
          this.#awaited = false;
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          this.#depth -= 1;
          break;
        case COLON:
          if (this.#depth === 1 && this.#atKey) {
            this.#atKey = false;
            this.#awaited = this.#isMember();
          }
          break;
        case COMMA:
          if (this.#depth === 1) this.#atKey = this.#objectOpened;
          this.#awaited = false;
          break;
        default:
          this.#awaited = false;
      }
    }
    hold(chunk.length);
    return found;
  }

  /**
   * All that is not an element: the object as it came, with arrays that are empty. An element that
   * nothing ended is part of it, so it is no JSON then; undefined when it is too long, or no UTF-8.
   */
  rest(): string | undefined {
    const tail = this.#inside ? this.#element.text() : { text: "" };
    const rest = this.#rest.text();
    return "text" in rest && "text" in tail ? rest.text + tail.text : undefined;
  }

  #take(): Element {
    const element = this.#element.text();
    this.#element.clear();
    this.#elements += 1;
    this.#begun = false;
    return element;
  }

  /** Past the end of the string under way, or of the chunk. */
  #throughString(chunk: Uint8Array, start: number): number {
    let at = start;
    if (this.#escaped) {
      this.#escaped = false;
      at += 1;
    }
    let quote = -1;
    for (;;) {
      if (quote < at) quote = indexFrom(chunk, QUOTE, at);
      if (this.#backslashAt < at) this.#backslashAt = indexFrom(chunk, BACKSLASH, at);
      if (this.#backslashAt < quote) {
        // The byte after it is escaped, be it in this chunk or the next one's first.
        at = this.#backslashAt + 2;
        if (at <= chunk.length) continue;
        this.#escaped = true;
        at = chunk.length;
      } else if (quote < chunk.length) {
        at = quote + 1;
        this.#inString = false;
      } else {
        at = chunk.length;
      }
      if (this.#atKey && this.#depth === 1) this.#key.add(chunk, start, at);
      return at;
    }
  }

  #isMember(): boolean {
    const key = this.#key.text();
    if (!("text" in key)) return false;
    try {
      return JSON.parse(key.text) === this.#member;
    } catch {
      return false;
    }
  }
}

function isSpace(byte: number): boolean {
  return byte === SPACE || byte === LINE_FEED || byte === CARRIAGE_RETURN || byte === TAB;
}

function isClosing(byte: number): boolean {
  return byte === CLOSE_BRACKET || byte === CLOSE_BRACE;
}

/** Where a byte is next, or past the end. */
function indexFrom(chunk: Uint8Array, byte: number, from: number): number {
  const at = chunk.indexOf(byte, from);
  return at === -1 ? Number.POSITIVE_INFINITY : at;
}

/** Bytes kept in copies, up to a limit; beyond it only that there were more. */
class Held {
  readonly #maxBytes: number;
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #tooLong = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  add(chunk: Uint8Array, from: number, to: number): void {
    this.#bytes += to - from;
    if (this.#bytes > this.#maxBytes) {
      this.#tooLong = true;
      this.#parts = [];
    } else {
      this.#parts.push(chunk.slice(from, to));
    }
  }

  clear(): void {
    this.#parts = [];
    this.#bytes = 0;
    this.#tooLong = false;
  }

  text(): Element {
    if (this.#tooLong) return { problem: "too_long" };
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
    try {
      let text = "";
      for (const part of this.#parts) text += decoder.decode(part, { stream: true });
      return { text: text + decoder.decode() };
    } catch {
      return { problem: "invalid_utf8" };
    }
  }
}
