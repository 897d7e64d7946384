/**
 * Why a text is no JSON, from what JSON.parse threw, without the piece of the text that it quotes:
 * that may be a prompt, and errors are kept, shown and logged.
 */
export function whyNotJson(error: unknown): string {
  const said = error instanceof Error ? error.message : String(error);
  // V8 quotes the text, or the end of it, between the reason and these words.
  const quoted = /^(.*?), (?:\.\.\.)?".*"(?:\.\.\.)? is not valid JSON$/su.exec(said)?.[1];
  return quoted ?? (/is not valid JSON$/u.test(said) ? "it is no JSON value" : said);
}
