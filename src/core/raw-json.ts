/**
 * Where values stand in a JSON text. `JSON.parse` followed by `JSON.stringify` is not the
 * identity: numbers past 2^53 change, `1.0` becomes `1`, and duplicate keys vanish. A body that is
 * passed on must not change, so it is cut out of the text it came in.
 *
 * Every function here leans on the text having been accepted by `JSON.parse` (RFC 8259). On any
 * other text the spans mean nothing, but every scan still ends.
 */

/** A part of a text in UTF-16 code units; `end` is exclusive, so `text.slice(start, end)` is it. */
export interface Span {
  start: number;
  end: number;
}

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * The members of the object that starts at `start` (white space before it is skipped), in the
 * order of the text, duplicates included. `key` is decoded; the span is that of the value, without
 * the white space around it. A value that is not an object has no members.
 */
export function* objectMembers(text: string, start = 0): Generator<Span & { key: string }> {
  let at = skipSpace(text, start);
  if (text.charCodeAt(at) !== OPEN_BRACE) return;
  do {
    const keyStart = skipSpace(text, at + 1);
    if (text.charCodeAt(keyStart) !== QUOTE) return;
    const keyEnd = stringEnd(text, keyStart);
    const colon = skipSpace(text, keyEnd);
    const valueStart = skipSpace(text, colon + 1);
    const end = valueEnd(text, valueStart);
    yield { key: decodeKey(text, keyStart, keyEnd), start: valueStart, end };
    at = skipSpace(text, end);
  } while (text.charCodeAt(at) === COMMA);
}

/**
 * The elements of the array that starts at `start` (white space before it is skipped), each without
 * the white space around it. A value that is not an array has no elements.
 */
export function* arrayElements(text: string, start = 0): Generator<Span> {
  let at = skipSpace(text, start);
  if (text.charCodeAt(at) !== OPEN_BRACKET) return;
  const first = skipSpace(text, at + 1);
  if (text.charCodeAt(first) === CLOSE_BRACKET) return;
  do {
    const elementStart = skipSpace(text, at + 1);
    const end = valueEnd(text, elementStart);
    yield { start: elementStart, end };
    at = skipSpace(text, end);
  } while (text.charCodeAt(at) === COMMA);
}

/**
 * The value of one member of the object that starts at `start`, or undefined when there is none.
 * Of duplicate keys the last wins, as in `JSON.parse` (ECMA-262, JSON.parse, step on duplicate
 * names), so the text passed on is the value that was validated.
 */
export function rawMember(text: string, key: string, start = 0): Span | undefined {
  let found: Span | undefined;
  for (const member of objectMembers(text, start)) {
    if (member.key === key) found = { start: member.start, end: member.end };
  }
  return found;
}

/**
 * The object's text with one member set. A member that is there gets the value in its place (all of
 * them, if the key is there twice); a new one becomes the first. All else stays as it was written.
 *
 * @param value JSON text.
 */
export function setMember(text: string, key: string, value: string): string {
  const spans = [...objectMembers(text)].filter((member) => member.key === key);
  if (spans.length > 0) {
    let set = "";
    let at = 0;
    for (const { start, end } of spans) {
      set += text.slice(at, start) + value;
      at = end;
    }
    return set + text.slice(at);
  }
  const open = skipSpace(text, 0) + 1;
  const isEmpty = text.charCodeAt(skipSpace(text, open)) === CLOSE_BRACE;
  return `${text.slice(0, open)}${JSON.stringify(key)}:${value}${isEmpty ? "" : ","}${text.slice(open)}`;
}

/**
 * The same JSON text on one line, for JSONL: raw CR and LF are removed, and white space around the
 * value. Inside strings JSON allows neither character raw, so those removed mean nothing.
 */
export function oneLine(json: string): string {
  const trimmed = json.trim();
  if (!trimmed.includes("\n") && !trimmed.includes("\r")) return trimmed;
  return trimmed.replace(/[\r\n]+/g, "");
}

function skipSpace(text: string, from: number): number {
  let at = from;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code !== SPACE && code !== LINE_FEED && code !== CARRIAGE_RETURN && code !== TAB) return at;
    at += 1;
  }
}

/** Past the closing quote of the string that opens at `open`: the first one not escaped. */
function stringEnd(text: string, open: number): number {
  let quote = text.indexOf('"', open + 1);
  while (quote !== -1) {
    let before = quote - 1;
    while (text.charCodeAt(before) === BACKSLASH) before -= 1;
    if ((quote - before) % 2 === 1) return quote + 1;
    quote = text.indexOf('"', quote + 1);
  }
  return text.length;
}

/** Past the value that starts at `start`. Depth is a number, so nesting costs no stack. */
function valueEnd(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === QUOTE) return stringEnd(text, start);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return literalEnd(text, start);
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = stringEnd(text, at);
      continue;
    }
    at += 1;
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth += 1;
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return text.length;
}

/** Past a number, `true`, `false` or `null`: all of them end at a delimiter or white space. */
function literalEnd(text: string, start: number): number {
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET || code <= SPACE) break;
    at += 1;
  }
  return at;
}

function decodeKey(text: string, start: number, end: number): string {
  const key = text.slice(start + 1, end - 1);
  if (!key.includes("\\")) return key;
  try {
    return JSON.parse(text.slice(start, end));
  } catch {
    // Only text that is no JSON gets here, and a scan of it must still end.
    return key;
  }
}
