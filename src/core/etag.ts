import { createHash } from "node:crypto";

/** The strong entity tag of a representation (RFC 9110, 8.8.3): another text has another. */
export function etagOf(text: string): string {
  return `"${createHash("sha256").update(text).digest("base64url").slice(0, 22)}"`;
}

/** Whether a tag is among those of an `If-None-Match` (RFC 9110, 13.1.2: compared weakly). */
export function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === "*") return true;
  const opaque = (tag: string) => tag.replace(/^W\//, "");
  return [...ifNoneMatch.matchAll(/(?:W\/)?"[^"]*"/g)].some(
    ([tag]) => opaque(tag) === opaque(etag),
  );
}
