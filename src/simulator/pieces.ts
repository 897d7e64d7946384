/** The most pieces that a text comes in: each one costs a timer. */
const maxPieces = 8;

/** A text in the pieces that it is streamed in. */
export function piecesOf(text: string): string[] {
  const length = Math.max(16, Math.ceil(text.length / maxPieces));
  const pieces: string[] = [];
  for (let at = 0; at < text.length; at += length) pieces.push(text.slice(at, at + length));
  return pieces;
}
