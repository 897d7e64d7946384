import type { Readable } from "node:stream";
import { JsonlSplitter, type Line } from "../../core/jsonl.ts";

/**
 * The lines of a stream that are not blank, split at LF alone. Node's own readline splits at U+2028
 * and U+2029 too, which JSON allows inside strings.
 */
export async function* linesOf(input: Readable, maxLineBytes: number): AsyncGenerator<Line> {
  const splitter = new JsonlSplitter({ maxLineBytes });
  for await (const chunk of input) yield* splitter.push(chunk as Uint8Array);
  yield* splitter.end();
}
