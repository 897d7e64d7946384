/**
 * A number in [0, 1) that depends on nothing but its arguments: the same call draws the same
 * number in every run, whatever came before it.
 *
 * The digest comes from SHA-256 and is spread evenly already, so mixing two of its words is
 * enough, and far cheaper than hashing again for every draw.
 */
export function chance(digest: string, seed: number, salt: number): number {
  const high = Number.parseInt(digest.slice(0, 8), 16);
  const low = Number.parseInt(digest.slice(8, 16), 16);
  return mix(mix(high ^ mix(seed ^ mix(salt))) ^ low) / 2 ** 32;
}

/** A 32-bit number for a text (FNV-1a), to use as a salt. */
export function textSalt(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  }
  return value >>> 0;
}

/** MurmurHash3's finalizer, on 32 bits. The constant added keeps 0 from staying 0. */
function mix(word: number): number {
  let value = (word + 0x9e3779b9) >>> 0;
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
