/**
 * Keys that the admin API makes: `sk-muster-PROJECT-` and 32 random bytes in base64url (RFC 4648 §5,
 * no padding). The project is in the key so that its own object can check it; it is no secret.
 */

/** Bytes of chance in a key: 256 bits. */
export const KEY_BYTES = 32;

const SHAPE = /^sk-muster-([a-z0-9][a-z0-9_-]{0,63})-[A-Za-z0-9_-]{43}$/;

/** A new key. @param random {@link KEY_BYTES} bytes. */
export function apiKeyFor(project: string, random: Uint8Array): string {
  return `sk-muster-${project}-${Buffer.from(random).toString("base64url")}`;
}

/** The project that a key says it opens, or undefined when it is none of these keys. */
export function projectInKey(key: string): string | undefined {
  return SHAPE.exec(key)?.[1];
}

/** As much of a key as may be shown. @param hint its last four characters. */
export function redactedKey(project: string, hint: string): string {
  return `sk-muster-${project}-…${hint}`;
}

/** How much of a key is kept in the clear: 24 of its 256 bits. */
export function hintOf(key: string): string {
  return key.slice(-4);
}
