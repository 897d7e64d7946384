/**
 * Telling a JSON array from lines. Taken for lines, each of its lines would be a prompt that is sent
 * and paid for; so it is refused. A prompt may begin with a bracket all the same.
 */

/** What is wrong with an input that is an array, as a clause. */
export const LIST_FAULT =
  "is a JSON array, and takes one JSON object a line. jq -c '.[]' makes lines of an array.";

/** Whether an array over several lines begins with this one. */
export function beginsList(line: string): boolean {
  const text = line.trim();
  if (!text.startsWith("[")) return false;
  // Brackets alone, or an object in them: what pretty printers write.
  if (/^\[\s*(?:\{|[[\s]*$)/.test(text)) return true;
  // With what is still to come left out.
  return isList(`${text.replace(/,$/, "")}]`);
}

/** Whether a text is an array as a whole. */
export function isList(text: string): boolean {
  if (!text.trimStart().startsWith("[")) return false;
  try {
    return Array.isArray(JSON.parse(text));
  } catch {
    return false;
  }
}
