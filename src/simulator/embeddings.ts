import { chance, textSalt } from "./chance.ts";
import type { ModelRequest } from "./requests.ts";

const defaultDimensions = 1536;
const maxDimensions = 8192;

/**
 * A vector of length 1 for one input: a function of seed, text and model alone. As numbers, or in
 * base64 as little-endian 32-bit floats, which is what the official client asks for.
 */
export function embed(digest: string, seed: number, request: ModelRequest): number[] | string {
  const size = Math.min(request.dimensions ?? defaultDimensions, maxDimensions);
  let state = Math.floor(chance(digest, seed, textSalt(request.model)) * 2 ** 32) | 1;
  const vector = new Float32Array(size);
  let squares = 0;
  for (let at = 0; at < size; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const value = state / 2 ** 31;
    vector[at] = value;
    squares += value * value;
  }
  const length = Math.sqrt(squares);
  for (let at = 0; at < size; at++) vector[at] = (vector[at] ?? 0) / length;
  return request.base64 ? Buffer.from(vector.buffer).toString("base64") : Array.from(vector);
}
