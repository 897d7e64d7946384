/** Prompts out of the rows of a table: `{{column}}` in a template stands for the row's cell. */

const PLACE = /\{\{\s*([^{}]+?)\s*\}\}/g;

/** The first column that a template names and a table has not. */
export function missingColumn(template: string, columns: readonly string[]): string | undefined {
  for (const [, name = ""] of template.matchAll(PLACE)) {
    if (!columns.includes(name)) return name;
  }
  return undefined;
}

/** A template with a row's cells in it; a cell that is not there is empty. */
export function filled(template: string, cells: Readonly<Record<string, string>>): string {
  return template.replace(PLACE, (_, name: string) => cells[name] ?? "");
}
