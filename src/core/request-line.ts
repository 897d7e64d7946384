import { rawMember, setMember } from "./raw-json.ts";

/**
 * Request lines out of prompts and bodies. JSON that somebody wrote goes into them as it was written:
 * parsed and printed again, numbers past 2^53 change and 1.0 becomes 1.
 */

/** Members of a body by their names, each as JSON text. */
export type Members = ReadonlyMap<string, string>;

/** What every body gets that does not say so itself. */
export interface Shared {
  model: string | undefined;
  /** A system message, for prompts. */
  system: string | undefined;
  members: Members;
}

/** What prompts at /v1/messages get, which takes no request that does not say it. */
export const MESSAGES_MAX_TOKENS = 1024;

const NONE: Members = new Map();

/**
 * The body that asks a prompt at an endpoint.
 *
 * @param own members of this body alone; they go before the shared ones.
 */
export function bodyOfPrompt(
  prompt: string,
  endpoint: string,
  shared: Shared,
  own: Members = NONE,
): string {
  const { model, system } = shared;
  const body = new Map<string, string>();
  const set = (name: string, value: unknown) => {
    if (value !== undefined) body.set(name, JSON.stringify(value));
  };
  set("model", model);
  if (endpoint === "/v1/messages") {
    set("system", system);
    set("max_tokens", MESSAGES_MAX_TOKENS);
  }
  if (endpoint === "/v1/responses") set("instructions", system);
  for (const members of [shared.members, own]) {
    for (const [name, value] of members) body.set(name, value);
  }
  const user = { role: "user", content: prompt };
  if (endpoint === "/v1/messages") set("messages", [user]);
  else if (endpoint === "/v1/chat/completions") {
    set("messages", system === undefined ? [user] : [{ role: "system", content: system }, user]);
  } else set(endpoint === "/v1/completions" ? "prompt" : "input", prompt);
  return objectOf(body);
}

/** The model that a prompt's body names. */
export function modelOfPrompt({ model, members }: Shared, own: Members = NONE): string | undefined {
  const written = own.get("model") ?? members.get("model");
  return named(written === undefined ? model : JSON.parse(written));
}

/** A body as it was written, with those shared members in front that it has not. */
export function withShared(body: string, { model, members }: Shared): string {
  const all = new Map(members);
  if (model !== undefined && !all.has("model")) all.set("model", JSON.stringify(model));
  let whole = body;
  for (const [name, value] of all) {
    if (rawMember(whole, name) === undefined) whole = setMember(whole, name, value);
  }
  return whole;
}

/** The model that a body names. */
export function modelOf(body: string): string | undefined {
  const span = rawMember(body, "model");
  return named(span && JSON.parse(body.slice(span.start, span.end)));
}

function named(model: unknown): string | undefined {
  return typeof model === "string" && model !== "" ? model : undefined;
}

/** The request line of a body. */
export function requestLine(id: string, endpoint: string, body: string): string {
  const [custom_id, url] = [JSON.stringify(id), JSON.stringify(endpoint)];
  return `{"custom_id":${custom_id},"method":"POST","url":${url},"body":${body}}`;
}

/** The object with these members. */
export function objectOf(members: Members): string {
  let text = "";
  for (const [name, value] of members) {
    text += `${text === "" ? "" : ","}${JSON.stringify(name)}:${value}`;
  }
  return `{${text}}`;
}
