/** Characters that are looked through for the place of a fault: that takes a parse for each halving. */
const SOUGHT_IN = 1_000_000;

/**
 * Why a text is no JSON and where, from what JSON.parse threw, without the piece of the text that it
 * quotes: that may be a prompt, and errors are kept, shown and logged.
 *
 * @param text the text, for the place to be found where JSON.parse tells none. Left out for a line of
 *   many: it has a number, and a million of them may be wrong.
 */
export function whyNotJson(error: unknown, text?: string): string {
  const thrown = error instanceof Error ? error.message : String(error);
  const reason = unquoted(thrown);
  const isPlaced = !/^Unexpected token /u.test(reason) || / at position \d+/u.test(reason);
  const isSought = !isPlaced && text !== undefined && text.length <= SOUGHT_IN;
  const said = isSought ? `${reason}${placeOf(reason, text)}` : reason;
  // Of a text on one line, as a line of a file is, that says no more than the position before it.
  return said.replace(/ \(line 1 column \d+\)$/u, "");
}

/** V8 quotes the text, or the end of it, between the reason and these words. */
function unquoted(thrown: string): string {
  const quoted = /^(.*?), (?:\.\.\.)?".*"(?:\.\.\.)? is not valid JSON$/su.exec(thrown)?.[1];
  return quoted ?? (/is not valid JSON$/u.test(thrown) ? "it is no JSON value" : thrown);
}

/**
 * Where a token is that V8 did not expect, in its own words: it tells the place of every other fault.
 * What is cut off before that token only ends too early.
 */
function placeOf(reason: string, text: string): string {
  const endsInIt = (length: number): boolean => {
    try {
      JSON.parse(text.slice(0, length));
      return false;
    } catch (error) {
      return error instanceof Error && unquoted(error.message) === reason;
    }
  };
  let without = 0;
  let within = text.length;
  while (within - without > 1) {
    const length = (without + within) >> 1;
    if (endsInIt(length)) within = length;
    else without = length;
  }
  const before = text.slice(0, without).split(/\r\n|\n|\r/u);
  const column = (before.at(-1)?.length ?? 0) + 1;
  return ` in JSON at position ${without} (line ${before.length} column ${column})`;
}
