import { Readable } from "node:stream";
import { CsvError, parse as parseCsv } from "csv-parse";
import { filled, missingColumn } from "../../core/template.ts";
import { NotUtf8, Utf8Decoder } from "../../core/utf8.ts";
import { wrong } from "./exit.ts";

/** A row by its columns, and the line that it begins in, from 1. */
export interface Row {
  record: Readonly<Record<string, string>>;
  from: number;
}

/**
 * The rows of a CSV file below its first, one at a time.
 *
 * @param name what messages call the file.
 * @throws {Exit} naming the line that is not CSV, or not UTF-8.
 */
export async function* csvRows(input: Readable, name: string): AsyncGenerator<Row> {
  const parser = parseCsv({
    columns: true,
    bom: true,
    info: true,
    raw: true,
    skip_empty_lines: true,
    trim: true,
  });
  const lines = new LineCount();
  const checked = Readable.from(utf8Of(input, name, lines));
  checked.on("error", (error) => parser.destroy(error));
  checked.pipe(parser);
  try {
    for await (const row of parser) {
      const { record, info, raw } = row as {
        record: Record<string, string>;
        info: { bytes: number };
        raw: string;
      };
      // The parser's own count takes a CRLF in quotes for two lines.
      const within = raw.trim().split("\n").length - 1;
      yield { record, from: lines.at(info.bytes - 1) - within };
    }
  } catch (error) {
    if (error instanceof CsvError) throw wrong(`${name}: not CSV: ${error.message}.`);
    throw error;
  }
}

/** Passes on bytes that are UTF-8, and refuses others. */
async function* utf8Of(input: Readable, name: string, lines: LineCount): AsyncGenerator<Buffer> {
  const decoder = new Utf8Decoder();
  try {
    for await (const chunk of input) {
      if (decoder.push(chunk).includes("\0")) {
        throw wrong(`${name}: holds NUL bytes, so it is no text.`);
      }
      lines.push(chunk);
      yield chunk;
    }
    decoder.end();
  } catch (error) {
    if (!(error instanceof NotUtf8)) throw error;
    throw wrong(`${name}:${error.line}: is not UTF-8; save it as UTF-8.`);
  }
}

/** Which line a byte is in, for places that are asked for in order. */
class LineCount {
  #feeds: number[] = [];
  #bytes = 0;
  #next = 0;
  #passed = 0;

  push(chunk: Uint8Array): void {
    this.#feeds = this.#feeds.slice(this.#next);
    this.#next = 0;
    for (let at = chunk.indexOf(0x0a); at !== -1; at = chunk.indexOf(0x0a, at + 1)) {
      this.#feeds.push(this.#bytes + at);
    }
    this.#bytes += chunk.length;
  }

  at(byte: number): number {
    while ((this.#feeds[this.#next] ?? byte) < byte) {
      this.#next += 1;
      this.#passed += 1;
    }
    return this.#passed + 1;
  }
}

/** A row's prompt: the template with its columns put in, or its column "prompt". */
export function fill(
  row: Readonly<Record<string, string>>,
  where: string,
  template: string | undefined,
): string {
  const columns = Object.keys(row);
  const has = `The columns are ${columns.join(", ")}.`;
  if (template === undefined) {
    const prompt = row.prompt;
    if (prompt !== undefined) return prompt;
    throw wrong(
      `${where}: no column "prompt". Say what to ask with --template, with {{column}} in it. ${has}`,
    );
  }
  const missing = missingColumn(template, columns);
  if (missing !== undefined) throw wrong(`--template names {{${missing}}}. ${has}`);
  return filled(template, row);
}
