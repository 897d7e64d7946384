/**
 * Why a text is no JSON, from what JSON.parse threw, without the piece of the text that it quotes:
 * that may be a prompt, and errors are kept, shown and logged.
 */
export function whyNotJson(error: unknown): string {
  const thrown = error instanceof Error ? error.message : String(error);
  // Of a text on one line, as a line of a file is, that says no more than the position before it.
  const said = thrown.replace(/ \(line 1 column \d+\)$/u, "");
  // V8 quotes the text, or the end of it, between the reason and these words.
  const quoted = /^(.*?), (?:\.\.\.)?".*"(?:\.\.\.)? is not valid JSON$/su.exec(said)?.[1];
  return quoted ?? (/is not valid JSON$/u.test(said) ? "it is no JSON value" : said);
}
