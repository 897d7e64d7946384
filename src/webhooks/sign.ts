import { Webhook } from "standardwebhooks";

/** The headers of one delivery, by Standard Webhooks 1.0. */
export interface SignedHeaders extends Record<string, string> {
  "content-type": string;
  "webhook-id": string;
  "webhook-timestamp": string;
  "webhook-signature": string;
}

export interface Signing {
  /** The event's id, the same at every attempt; no `.`, which separates what is signed. */
  id: string;
  /** When this attempt is made, in Unix milliseconds. Receivers allow ±300 s. */
  timestampMs: number;
  /** The text that is sent, exactly. */
  body: string;
  /** All keys in force, at least one: during a rotation both sign. */
  secrets: readonly string[];
}

const PREFIX = "whsec_";
/** Standard Webhooks, "Signature scheme": a key has between 192 and 512 bits. */
const MIN_KEY_BYTES = 24;
const MAX_KEY_BYTES = 64;
const MAX_SECRET_LENGTH = PREFIX.length + Math.ceil(MAX_KEY_BYTES / 3) * 4;

/**
 * Signs one attempt of a delivery, once with each secret, as a space-separated list. Throws a
 * RangeError for an id with a `.` and for no secrets: both are bugs of the caller.
 */
export function signedHeaders({ id, timestampMs, body, secrets }: Signing): SignedHeaders {
  if (id.includes(".")) throw new RangeError(`webhook id ${id} has a "." in it`);
  if (secrets.length === 0) throw new RangeError(`webhook ${id} has no secret to sign it`);
  const timestampS = Math.floor(timestampMs / 1000);
  const at = new Date(timestampS * 1000);
  return {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": String(timestampS),
    "webhook-signature": secrets.map((secret) => new Webhook(secret).sign(id, at, body)).join(" "),
  };
}

/** A new secret of 24 to 64 bytes (32 is usual) from a cryptographic source; else a RangeError. */
export function newSecret(random: Uint8Array): string {
  if (random.length < MIN_KEY_BYTES || random.length > MAX_KEY_BYTES) {
    throw new RangeError(`a webhook secret has 24 to 64 bytes, not ${random.length}`);
  }
  return PREFIX + btoa(String.fromCharCode(...random));
}

/** `whsec_` and the base64 (RFC 4648 §4, padded, canonical) of 24 to 64 bytes. */
export function isSecret(text: string): boolean {
  if (!text.startsWith(PREFIX) || text.length > MAX_SECRET_LENGTH) return false;
  const base64 = text.slice(PREFIX.length);
  try {
    const key = atob(base64);
    // atob forgives white space and missing padding, which receivers' decoders may not.
    return key.length >= MIN_KEY_BYTES && key.length <= MAX_KEY_BYTES && btoa(key) === base64;
  } catch {
    return false;
  }
}
