import { beginsList, isList, LIST_FAULT } from "../../core/json-list.ts";
import { filled, missingColumn } from "../../core/template.ts";
import { readCsv } from "./csv-rows.ts";
import { type Made, RequestMaker, type Serving, type Settings } from "./request-maker.ts";

/** What a person pasted or dropped, as request lines. */
export interface Read {
  /** Lines of JSONL, as they are uploaded. */
  lines: string[];
  /** What is wrong, and in which line of the input, from 1. */
  faults: { line: number; message: string }[];
  /** The endpoint that the lines are for. */
  endpoint: string | undefined;
}

export type Kind = "prompts" | "jsonl" | "csv";

/** More are counted and not listed. */
const FAULTS = 100;

/** What a text is, by its file's name or else by how it begins. */
export function kindOf(text: string, name = ""): Kind {
  if (/\.csv$/i.test(name)) return "csv";
  if (/\.(jsonl|ndjson)$/i.test(name)) return "jsonl";
  return /^\uFEFF?\s*\{/.test(text) ? "jsonl" : "prompts";
}

/**
 * Turns a text into request lines, and says what is wrong line by line. Nothing is dropped in silence.
 *
 * @param upstreams by which prompts find their endpoint; chat's while they are not known
 */
export function read(
  text: string,
  kind: Kind,
  settings: Settings,
  upstreams: readonly Serving[] = [],
): Read {
  const gathering = new Gathering();
  const maker = new RequestMaker(settings, upstreams);
  if (kind === "csv") fromCsv(text, settings, maker, gathering);
  else fromLines(text, kind, maker, gathering);
  if (kind !== "jsonl" && settings.model.trim() === "" && gathering.found.lines.length > 0) {
    gathering.fault(1, `${kind === "csv" ? "CSV needs" : "Prompts need"} a model.`);
  }
  gathering.found.faults.sort((a, b) => a.line - b.line);
  return gathering.found;
}

/** What has been found so far. */
class Gathering {
  readonly found: Read = { lines: [], faults: [], endpoint: undefined };
  readonly #ids = new Map<string, number>();

  fault(line: number, message: string): void {
    if (this.found.faults.length < FAULTS) this.found.faults.push({ line, message });
  }

  add(line: number, { id, text, endpoint }: Made): void {
    const before = this.#ids.get(id);
    if (before !== undefined) {
      this.fault(line, `custom_id '${id}' is that of line ${before} too; each takes its own.`);
      return;
    }
    this.#ids.set(id, line);
    this.found.endpoint ??= endpoint;
    this.found.lines.push(text);
  }
}

function fromLines(
  text: string,
  kind: "prompts" | "jsonl",
  maker: RequestMaker,
  gathering: Gathering,
): void {
  const rows = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const first = rows.findIndex((row) => row.trim() !== "");
  if (beginsList(rows[first] ?? "") || isList(text)) {
    gathering.fault(first + 1, LIST_FAULT);
    return;
  }
  for (const [index, row] of rows.entries()) {
    const line = index + 1;
    const given = row.trim();
    if (given === "") continue;
    const id = `line-${line}`;
    const made = kind === "jsonl" ? maker.ofJson(given, id) : maker.ofPrompt(given, id);
    if ("fault" in made) gathering.fault(line, made.fault);
    else gathering.add(line, made);
  }
}

function fromCsv(
  text: string,
  settings: Settings,
  maker: RequestMaker,
  gathering: Gathering,
): void {
  const { columns, rows, faults } = readCsv(text);
  for (const { line, message } of faults) gathering.fault(line, message);
  const template = settings.template.trim() || "{{prompt}}";
  const missing = missingColumn(template, columns);
  if (missing !== undefined) {
    const has = columns.join(", ");
    gathering.fault(1, `The template names {{${missing}}}; the columns are ${has}.`);
    return;
  }
  for (const [index, { line, cells }] of rows.entries()) {
    const id = cells.custom_id || cells.id || `row-${index + 1}`;
    gathering.add(line, maker.ofPrompt(filled(template, cells), id));
  }
}
