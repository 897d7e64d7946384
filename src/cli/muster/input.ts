import { createReadStream, statSync } from "node:fs";
import type { Readable } from "node:stream";
import { readGiven } from "../../core/given-line.ts";
import { beginsList, isList, LIST_FAULT } from "../../core/json-list.ts";
import {
  bodyOfPrompt,
  type Members,
  modelOf,
  modelOfPrompt,
  requestLine,
  type Shared,
  withShared,
} from "../../core/request-line.ts";
import { MAX_LINE_BYTES } from "../../wire/request.ts";
import { csvRows, fill } from "./csv-rows.ts";
import { type Exit, wrong } from "./exit.ts";
import { linesOf } from "./lines.ts";
import type { PromptEndpoint } from "./prompt-endpoint.ts";

/** How the tasks are written. */
export const FORMATS = ["jsonl", "csv", "text"] as const;
export type Format = (typeof FORMATS)[number];

/** What every request gets that does not say so itself. */
export interface RequestOptions extends Shared {
  endpoint: string;
  /** Where prompts go, if not there. */
  promptEndpoint?: PromptEndpoint;
  /** For CSV: a prompt with {{column}} in it. */
  template: string | undefined;
}

/** A request line, and the line of the input that it comes from, from 1. */
export interface Line {
  text: string;
  from: number;
}

/** How a file is written, by its name; undefined when its name does not say. */
export function formatOf(name: string): Format | undefined {
  if (/\.(jsonl|ndjson|json)$/i.test(name)) return "jsonl";
  if (/\.csv$/i.test(name)) return "csv";
  return /\.(txt|md|text)$/i.test(name) ? "text" : undefined;
}

/** @throws {Exit} when a path is no file that can be read; `-` is stdin. */
export function checkInput(path: string): void {
  if (path === "-") return;
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw wrong(`There is no file ${path}.`);
  if (found.isDirectory()) throw wrong(`${path} is a folder; name a file in it.`);
}

/**
 * Reads a file, or stdin for `-`, as request lines, one at a time.
 *
 * @throws {Exit} naming the line and what it takes instead.
 */
export async function* readLines(
  path: string,
  format: Format | undefined,
  options: RequestOptions,
): AsyncGenerator<Line> {
  const input = path === "-" ? process.stdin : createReadStream(path);
  const name = path === "-" ? "stdin" : path;
  if (options.template !== undefined && format !== "csv") {
    throw wrong("--template is for CSV; --input csv takes a file of any name, and stdin, as that.");
  }
  if (format === "csv") yield* fromCsv(input, name, options);
  else yield* fromLines(input, name, format, options);
}

async function* fromLines(
  input: Readable,
  name: string,
  format: Format | undefined,
  options: RequestOptions,
): AsyncGenerator<Line> {
  let read = format;
  let count = 0;
  let last = { text: "", from: 0 };
  for await (const line of linesOf(input, MAX_LINE_BYTES)) {
    const from = line.number;
    if ("problem" in line) throw wrong(`${name}:${from}: ${PROBLEMS[line.problem]}`);
    const text = line.text.trim();
    if (text.includes("\0")) throw wrong(`${name}:${from}: holds NUL bytes, so it is no text.`);
    if (count === 0 && beginsList(text)) throw wrong(`${name}:${from}: ${LIST_FAULT}`);
    count += 1;
    last = { text, from };
    // A file that does not say what it is, is what its first line is.
    read ??= text.startsWith("{") ? "jsonl" : "text";
    const where = `${name}:${from}`;
    const request =
      read === "jsonl"
        ? await requestOf(text, where, from, options)
        : await promptLine(text, `line-${from}`, where, options);
    yield { text: request, from };
  }
  if (count === 1 && isList(last.text)) throw wrong(`${name}:${last.from}: ${LIST_FAULT}`);
}

const PROBLEMS = {
  invalid_utf8: "is not UTF-8; save it as UTF-8.",
  too_long: `is longer than the ${MAX_LINE_BYTES} bytes that a line takes.`,
};

/** A request line out of a line of JSON. */
async function requestOf(
  text: string,
  where: string,
  from: number,
  options: RequestOptions,
): Promise<string> {
  const given = readGiven(text);
  if ("fault" in given) throw wrong(`${where}: ${given.fault}${hintOn(text)}`);
  if (given.kind === "request") return text;
  const id = given.id ?? `line-${from}`;
  if (given.kind === "prompt") return promptLine(given.prompt, id, where, options, given.members);
  const body = withShared(given.body, options);
  if (modelOf(body) === undefined) throw noModel(where);
  return requestLine(id, options.endpoint, body);
}

function hintOn(text: string): string {
  return text.startsWith("[") ? " jq -c '.[]' makes lines of an array." : "";
}

async function promptLine(
  prompt: string,
  id: string,
  where: string,
  options: RequestOptions,
  own?: Members,
): Promise<string> {
  const model = modelOfPrompt(options, own);
  if (model === undefined) throw noModel(where);
  const endpoint = (await options.promptEndpoint?.(model)) ?? options.endpoint;
  return requestLine(id, endpoint, bodyOfPrompt(prompt, endpoint, options, own));
}

function noModel(where: string): Exit {
  return wrong(`${where}: names no model. Give one to all with --model, such as gpt-4o-mini.`);
}

async function* fromCsv(
  input: Readable,
  name: string,
  options: RequestOptions,
): AsyncGenerator<Line> {
  for await (const { record, from } of csvRows(input, name)) {
    const where = `${name}:${from}`;
    const id = record.custom_id || record.id || `line-${from}`;
    const prompt = fill(record, where, options.template);
    yield { text: await promptLine(prompt, id, where, options), from };
  }
}
