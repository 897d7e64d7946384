/** What a command prints, and where: results on stdout, everything else on stderr. */
export interface Terminal {
  /** A line of the result. */
  print(line: string): void;
  /** A line for a person who watches; silent when stderr is piped or --quiet is given. */
  say(line: string): void;
  /** Whether a person watches stderr. */
  readonly watched: boolean;
  /** Whether a person reads stdout. */
  readonly read: boolean;
}

/** The terminal of this process. */
export function terminal(quiet: boolean): Terminal {
  const watched = process.stderr.isTTY === true && !quiet;
  return {
    print: (line) => void process.stdout.write(`${line}\n`),
    say: (line) => {
      if (watched) process.stderr.write(`${line}\n`);
    },
    watched,
    read: process.stdout.isTTY === true,
  };
}

/** Rows in columns, the numbers among them to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => width(row[column] ?? ""))));
  const right = head.map((_, column) =>
    rows.every((row) => /^[\d,.%/ ]*$|^–$/.test(row[column] ?? "")),
  );
  return all
    .map((row) =>
      row
        .map((cell, column) => {
          const space = " ".repeat(Math.max(0, (widths[column] ?? 0) - width(cell)));
          return right[column] ? space + cell : cell + space;
        })
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Columns a text takes in a terminal: two for East Asian characters and emoji. */
export function width(text: string): number {
  let columns = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    columns +=
      /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]/u.test(
        segment,
      )
        ? 2
        : 1;
  }
  return columns;
}

/** The beginning of a text, on one line, at most this many columns wide; control characters are shown, not obeyed. */
export function clip(text: string, columns: number): string {
  const line = text
    .replace(/\s+/g, " ")
    .replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, "�")
    .trim();
  if (width(line) <= columns) return line;
  let clipped = "";
  let used = 0;
  for (const { segment } of new Intl.Segmenter().segment(line)) {
    used += width(segment);
    if (used >= columns) break;
    clipped += segment;
  }
  return `${clipped}…`;
}

/** How long ago, in the largest unit that fits. */
export function age(ms: number): string {
  const units = [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
  ] as const;
  for (const [unit, size] of units) if (ms >= size) return `${Math.floor(ms / size)} ${unit}`;
  return `${Math.max(0, Math.floor(ms / 1000))} s`;
}
