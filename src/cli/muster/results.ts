import { createWriteStream, statSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname, extname } from "node:path";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { readContent } from "../../core/content.ts";
import { csvCell } from "../../core/csv-cell.ts";
import { errorMessage } from "../../core/outcome.ts";
import { outputLine } from "../../wire/results.ts";
import type { Context } from "./context.ts";
import { EXIT, Exit, wrong } from "./exit.ts";
import { pathOf } from "./follow.ts";
import { linesOf } from "./lines.ts";

/** How results are written. */
export const RESULT_FORMATS = ["jsonl", "json", "csv", "text"] as const;
export type ResultFormat = (typeof RESULT_FORMATS)[number];

/** The format that a file's name asks for. */
export function resultFormatOf(name: string | undefined): ResultFormat | undefined {
  const ending = name === undefined ? undefined : /\.(\w+)$/.exec(name)?.[1]?.toLowerCase();
  return ending === "txt" ? "text" : RESULT_FORMATS.find((format) => format === ending);
}

/**
 * Looks at where results shall go before anything is done for them. A name without an ending gets
 * output lines.
 *
 * @throws {Exit} when nothing can be written there, or its ending is of no format.
 */
export function checkOutput(path: string | undefined, format?: ResultFormat): void {
  if (path === undefined || path === "-") return;
  if (format === undefined && resultFormatOf(path) === undefined && extname(path) !== "") {
    throw wrong(`--out takes a name that ends in .jsonl, .json, .csv or .txt, not ${path}.`);
  }
  const folder = dirname(path);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw wrong(`--out: there is no folder ${folder}.`);
  }
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) {
    throw wrong(`--out: ${path} is a folder; name a file in it.`);
  }
}

/**
 * Writes what a batch has so far: output lines as they are, Muster's summary, or a table. To a file
 * it goes under another name first, so that the file is whole or not there.
 */
export async function writeResults(
  { api }: Context,
  id: string,
  endpoint: string,
  format: ResultFormat,
  path: string | undefined,
): Promise<void> {
  const accept = format === "json" ? "application/json" : "application/jsonl";
  const response = await api.open(`${pathOf(id)}/results`, { headers: { accept } });
  const body = Readable.fromWeb(response.body as never);
  const source = format === "csv" || format === "text" ? rows(body, endpoint, format) : body;
  if (path === undefined) {
    await pipeline(source, process.stdout, { end: false }).catch(quietly);
    return;
  }
  const part = `${path}.part`;
  try {
    await pipeline(source, openFile(part));
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true }).catch(() => undefined);
    throw error;
  }
}

function openFile(path: string): Writable {
  const file = createWriteStream(path);
  file.on("error", () => undefined);
  return file;
}

/** `muster results ID | head` closes the pipe early; that is no failure. */
function quietly(error: unknown): void {
  if (error instanceof Error && "code" in error && error.code === "EPIPE") return;
  throw error;
}

/** Far more than a row of a batch's results holds. */
const MAX_RESULT_BYTES = 16 * 1024 * 1024;

/** Output lines as rows of a table, or as answers alone. */
export async function* rows(
  body: Readable,
  endpoint: string,
  format: "csv" | "text",
): AsyncGenerator<string> {
  if (format === "csv") yield "\uFEFFcustom_id,status,content,error\r\n";
  for await (const read of linesOf(body, MAX_RESULT_BYTES)) {
    if ("problem" in read) {
      throw new Exit(EXIT.error, `Line ${read.number} of the results is no line of JSON.`);
    }
    const line = outputLine.parse(JSON.parse(read.text));
    const status = line.response?.status_code;
    const good = status !== undefined && status < 300;
    const answer = good ? readContent(endpoint, line.response?.body) : "";
    const content = typeof answer === "string" ? answer : JSON.stringify(answer);
    const error = good
      ? ""
      : (line.error?.message ?? errorMessage(line.response?.body) ?? "failed");
    if (format === "text") yield `${good ? content : `[${line.custom_id} failed: ${error}]`}\n`;
    else {
      const cells = [line.custom_id, good ? "succeeded" : "failed", content, error];
      yield `${cells.map(csvCell).join(",")}\r\n`;
    }
  }
}

/** A format by its name. */
export function parseResultFormat(name: string): ResultFormat {
  const format = RESULT_FORMATS.find((one) => one === name);
  if (format === undefined) throw wrong(`--format takes ${RESULT_FORMATS.join(", ")}.`);
  return format;
}
