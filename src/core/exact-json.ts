/**
 * JSON in and out with every number as it was written: `JSON.parse` turns 12345678901234567890 into
 * another number. Source text access and raw JSON are ECMAScript's (proposal-json-parse-with-source)
 * and in V8 since 11.4; TypeScript's own library does not declare them yet.
 */
declare global {
  interface JSON {
    rawJSON(text: string): object;
    isRawJSON(value: unknown): boolean;
  }
}

/** Shorter numbers survive a parse and a print: a double has 15 digits in full. */
const LONG_NUMBER = /[0-9.]{16}/;

/**
 * As `JSON.parse`, but a number that would not be printed as it was written becomes an opaque value
 * that `JSON.stringify` prints as it was.
 *
 * @throws a SyntaxError when the text is not JSON.
 */
export function parseExactly(text: string): unknown {
  return LONG_NUMBER.test(text) ? JSON.parse(text, keep) : JSON.parse(text);
}

function keep(_: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source;
  if (typeof value !== "number" || source === undefined || String(value) === source) return value;
  return JSON.rawJSON(source);
}

/** Whether a parsed value has members: an object, but no list and no number kept as it was written. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value)
  );
}
