import Papa from "papaparse";

/** A row by its columns, and the line of the file that it begins in, from 1. */
export interface Row {
  line: number;
  cells: Readonly<Record<string, string>>;
}

/** A CSV file: its columns, its rows that are not blank, and what is wrong with it by line. */
export interface Csv {
  columns: string[];
  rows: Row[];
  faults: { line: number; message: string }[];
}

/** Reads CSV. A row with too few or too many cells is a fault, and no row. */
export function readCsv(text: string): Csv {
  const whole = text.replace(/^\uFEFF/, "");
  const csv: Csv = { columns: [], rows: [], faults: [] };
  let columns: string[] | undefined;
  let line = 1;
  let feed = whole.indexOf("\n");
  Papa.parse<string[]>(whole, {
    step: ({ data, errors, meta }) => {
      const begins = line;
      while (feed !== -1 && feed < meta.cursor) {
        line += 1;
        feed = whole.indexOf("\n", feed + 1);
      }
      for (const { code, message } of errors) {
        // One column has no delimiter to find.
        if (code === "UndetectableDelimiter") continue;
        csv.faults.push({ line: begins, message: `Not CSV: ${message}.` });
      }
      if (data.every((cell) => cell.trim() === "")) return;
      if (columns === undefined) {
        columns = data.map((name) => name.trim());
        csv.columns = columns;
      } else if (data.length !== columns.length) {
        const message = `Not CSV: takes ${columns.length} cells, and has ${data.length}.`;
        csv.faults.push({ line: begins, message });
      } else {
        const cells = Object.fromEntries(columns.map((name, at) => [name, data[at] ?? ""]));
        csv.rows.push({ line: begins, cells });
      }
    },
  });
  return csv;
}
