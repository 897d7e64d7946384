/** A column: its heading, and on which side its cells line up. */
export interface Column<Row> {
  heading: string;
  align: "left" | "right";
  cell: (row: Row) => string;
}

/** Rows as aligned text, headings above. Columns that are empty in every row are left out. */
export function drawTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const filled = columns
    .map(({ heading, align, cell }) => ({ align, heading, cells: rows.map(cell) }))
    .filter(({ cells }) => cells.some((cell) => cell !== ""));
  const lines = [-1, ...rows.keys()].map((at) =>
    filled
      .map(({ align, heading, cells }) => {
        const width = Math.max(heading.length, ...cells.map((cell) => cell.length));
        const text = at < 0 ? heading : (cells[at] ?? "");
        return align === "left" ? text.padEnd(width) : text.padStart(width);
      })
      .join("  ")
      .trimEnd(),
  );
  const [head = "", ...body] = lines;
  const rule = "─".repeat(Math.max(...lines.map((line) => line.length)));
  return [head, rule, ...body].join("\n");
}
