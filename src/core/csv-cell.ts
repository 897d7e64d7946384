/**
 * A cell of CSV (RFC 4180). What a spreadsheet would take for a formula gets an apostrophe before
 * it: answers come from a model, and must not compute.
 */
export function csvCell(text: string): string {
  const inert = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
}
