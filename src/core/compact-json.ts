import { createHash } from "node:crypto";

/** A string, whole; or white space outside of strings. */
const PIECES = /("(?:[^"\\]|\\.)*")|[\t\n\r ]+/g;

/**
 * JSON text without the white space between its tokens, which means nothing. All else stays as it was
 * written: the order of members (a schema's order is that of the answer), numbers to the last digit,
 * and how strings are escaped. So texts that compact to one another are the same request to anybody,
 * and what differs at all stays different.
 */
export function compactJson(text: string): string {
  return text.replace(PIECES, (_, string: string | undefined) => string ?? "");
}

/** SHA-256 of a body's compact text: two bodies with one are one request. */
export function bodyHash(body: string): string {
  return createHash("sha256").update(compactJson(body)).digest("base64");
}
