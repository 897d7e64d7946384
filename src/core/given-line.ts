import { objectMembers } from "./raw-json.ts";
import { type Members, objectOf } from "./request-line.ts";

/** What a line of JSON that somebody gave asks for; a body and members as they were written. */
export type Given =
  | { kind: "request"; id: string; endpoint: string }
  | { kind: "prompt"; id: string | undefined; prompt: string; members: Members }
  | { kind: "body"; id: string | undefined; body: string };

/**
 * Reads a line of JSON: a whole request (with url and body), {"prompt": …} with members of its body
 * beside it, {"body": …}, or a body alone. All but the first may have an id: custom_id, else id.
 *
 * @returns what is wrong with the line, as a clause, when it is none of them.
 */
export function readGiven(text: string): Given | { fault: string } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { fault: `not JSON (${why}). Each line takes one JSON object.` };
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    return { fault: `takes a JSON object, not ${text.slice(0, 40)}.` };
  }
  const line = json as Readonly<Record<string, unknown>>;
  const has = (name: string) => Object.hasOwn(line, name);
  const isWhole = has("url") && has("body");
  const idName = isWhole || has("custom_id") ? "custom_id" : "id";
  const id = line[idName];
  if (isWhole) {
    if (typeof id !== "string") return notText("custom_id", id);
    return typeof line.url === "string"
      ? { kind: "request", id, endpoint: line.url }
      : notText("url", line.url);
  }
  if (has(idName) && typeof id !== "string") return notText(idName, id);
  const named = typeof id === "string" ? id : undefined;
  const rest = new Map<string, string>();
  let body = "";
  for (const { key, start, end } of objectMembers(text)) {
    if (key === "body") body = text.slice(start, end);
    else if (key !== idName) rest.set(key, text.slice(start, end));
  }
  if (typeof line.prompt === "string") {
    rest.delete("prompt");
    return { kind: "prompt", id: named, prompt: line.prompt, members: rest };
  }
  if (!has("body")) {
    return { kind: "body", id: named, body: named === undefined ? text : objectOf(rest) };
  }
  return kindOf(line.body) === "an object"
    ? { kind: "body", id: named, body }
    : { fault: `body: takes an object, and is ${kindOf(line.body)}.` };
}

function notText(name: string, value: unknown): { fault: string } {
  return { fault: `${name}: takes a string, and is ${kindOf(value)}.` };
}

function kindOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
