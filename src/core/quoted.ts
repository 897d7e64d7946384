/** Of what somebody sent, as much as an error repeats. */
const MOST = 100;

/**
 * What somebody sent (a value, a member's name, an id), for a sentence that repeats it: its first 100
 * UTF-16 units, and an ellipsis where there are more. An emoji at the end is left out, not halved.
 */
export function quoted(text: string): string {
  if (text.length <= MOST) return text;
  const last = text.charCodeAt(MOST - 1);
  const isHalf = last >= 0xd800 && last <= 0xdbff;
  return `${text.slice(0, isHalf ? MOST - 1 : MOST)}…`;
}
