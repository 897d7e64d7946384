import Papa from "papaparse";
import { readGiven } from "../../core/given-line.ts";
import { beginsList, isList, LIST_FAULT } from "../../core/json-list.ts";
import {
  bodyOfPrompt,
  modelOf,
  requestLine,
  type Shared,
  withShared,
} from "../../core/request-line.ts";

/** What a person pasted or dropped, as request lines. */
export interface Read {
  /** Lines of JSONL, as they are uploaded. */
  lines: string[];
  /** What is wrong, and in which line of the input, from 1. */
  faults: { line: number; message: string }[];
  /** The endpoint that the lines themselves name. */
  endpoint: string | undefined;
}

/** What each request gets that does not say so itself. */
export interface Settings {
  model: string;
  system: string;
  maxTokens: string;
  /** For CSV: a prompt with {{column}} in it. */
  template: string;
}

export type Kind = "prompts" | "jsonl" | "csv";

const CHAT = "/v1/chat/completions";
/** More are counted and not listed. */
const FAULTS = 100;

/** What a text is, by its file's name or else by how it begins. */
export function kindOf(text: string, name = ""): Kind {
  if (/\.csv$/i.test(name)) return "csv";
  if (/\.(jsonl|ndjson)$/i.test(name)) return "jsonl";
  return /^\uFEFF?\s*\{/.test(text) ? "jsonl" : "prompts";
}

/** Turns a text into request lines, and says what is wrong line by line. Nothing is dropped in silence. */
export function read(text: string, kind: Kind, settings: Settings): Read {
  const found: Read = { lines: [], faults: [], endpoint: undefined };
  const fault = (line: number, message: string) => {
    if (found.faults.length < FAULTS) found.faults.push({ line, message });
  };
  if (kind === "csv") {
    readCsv(text, settings, found, fault);
    return found;
  }
  const rows = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const first = rows.findIndex((row) => row.trim() !== "");
  if (beginsList(rows[first] ?? "") || isList(text)) {
    fault(first + 1, LIST_FAULT);
    return found;
  }
  const ids = new Map<string, number>();
  for (const [index, row] of rows.entries()) {
    const line = index + 1;
    if (row.trim() === "") continue;
    if (kind === "prompts") {
      found.lines.push(promptLine(row.trim(), `line-${line}`, settings));
      continue;
    }
    const made = madeOf(row.trim(), line, settings);
    if ("fault" in made) {
      fault(line, made.fault);
      continue;
    }
    const before = ids.get(made.id);
    if (before !== undefined) {
      fault(line, `custom_id '${made.id}' is that of line ${before} too; each takes its own.`);
      continue;
    }
    ids.set(made.id, line);
    found.endpoint ??= made.endpoint;
    found.lines.push(made.text);
  }
  if (kind === "prompts" && settings.model.trim() === "" && found.lines.length > 0) {
    fault(1, "Prompts need a model.");
  }
  return found;
}

/** What there is to a file that is not UTF-8 from a line on: nothing but that. */
export function notUtf8(line: number): Read {
  const faults = [{ line, message: "Is not UTF-8; save it as UTF-8." }];
  return { lines: [], faults, endpoint: undefined };
}

/** A line of JSON as a request line. */
function madeOf(
  text: string,
  line: number,
  settings: Settings,
): { text: string; id: string; endpoint: string } | { fault: string } {
  const given = readGiven(text);
  if ("fault" in given) return given;
  if (given.kind === "request") return { text, id: given.id, endpoint: given.endpoint };
  const id = given.id ?? `line-${line}`;
  const shared = sharedOf(settings);
  const body =
    given.kind === "prompt"
      ? bodyOfPrompt(given.prompt, CHAT, shared, given.members)
      : withShared(given.body, { ...shared, members: new Map() });
  if (modelOf(body) === undefined) return { fault: "names no model." };
  return { text: requestLine(id, CHAT, body), id, endpoint: CHAT };
}

function promptLine(prompt: string, id: string, settings: Settings): string {
  return requestLine(id, CHAT, bodyOfPrompt(prompt, CHAT, sharedOf(settings)));
}

/** The fields of the page as what each body gets. */
function sharedOf({ model, system, maxTokens }: Settings): Shared {
  const members = new Map<string, string>();
  if (maxTokens.trim() !== "") members.set("max_tokens", `${Number(maxTokens)}`);
  return {
    model: model.trim() || undefined,
    system: system.trim() === "" ? undefined : system,
    members,
  };
}

function readCsv(
  text: string,
  settings: Settings,
  found: Read,
  fault: (line: number, message: string) => void,
): void {
  const { data, errors, meta } = Papa.parse<Record<string, string>>(text, {
    header: true,
    skipEmptyLines: "greedy",
    transformHeader: (name) => name.trim(),
  });
  for (const { row = 0, code, message } of errors) {
    // One column has no delimiter to find.
    if (code !== "UndetectableDelimiter") fault(row + 2, `Not CSV: ${message}.`);
  }
  const columns = meta.fields ?? [];
  const template = settings.template.trim() || "{{prompt}}";
  const missing = [...template.matchAll(/\{\{\s*([^{}]+?)\s*\}\}/g)]
    .flatMap(([, name]) => (name === undefined ? [] : [name]))
    .filter((name) => !columns.includes(name));
  if (missing.length > 0) {
    const has = columns.join(", ");
    fault(1, `The template names {{${missing[0]}}}; the columns are ${has}.`);
    return;
  }
  if (settings.model.trim() === "") fault(1, "CSV needs a model.");
  for (const [index, row] of data.entries()) {
    const prompt = template.replace(
      /\{\{\s*([^{}]+?)\s*\}\}/g,
      (_, name: string) => row[name] ?? "",
    );
    const id = row.custom_id || row.id || `row-${index + 1}`;
    found.lines.push(promptLine(prompt, id, settings));
  }
}
