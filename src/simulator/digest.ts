import { hash } from "node:crypto";

/** The endpoints that take calls, and the field of each that holds the prompt. */
export const promptFields = {
  "/v1/chat/completions": "messages",
  "/v1/responses": "input",
  "/v1/embeddings": "input",
  "/v1/completions": "prompt",
  "/v1/moderations": "input",
  "/v1/images/generations": "prompt",
  "/v1/images/edits": "prompt",
  "/v1/videos": "prompt",
  "/v1/messages": "messages",
} as const;

export type Endpoint = keyof typeof promptFields;

export function isEndpoint(path: string): path is Endpoint {
  return Object.hasOwn(promptFields, path);
}

/** Whose manners an endpoint has: keys, errors, ids and limits are told differently. */
export type Dialect = "openai" | "anthropic";

export function dialectOf(endpoint: Endpoint): Dialect {
  return endpoint === "/v1/messages" ? "anthropic" : "openai";
}

/**
 * The canonical prompt of a request body: the text of its messages or inputs, in order and
 * whatever the role, joined by line feeds. Images, names and parameters are no part of it. The
 * system prompt, which Anthropic has apart from the messages, comes first.
 */
export function promptText(endpoint: Endpoint, body: Readonly<Record<string, unknown>>): string {
  const text = textOf(body[promptFields[endpoint]]);
  const system = dialectOf(endpoint) === "anthropic" ? textOf(body.system) : "";
  return system === "" ? text : `${system}\n${text}`;
}

/** The first 16 hex digits of the SHA-256 of `promptText`: what each answer contains. */
export function promptDigest(endpoint: Endpoint, body: Readonly<Record<string, unknown>>): string {
  return digestText(promptText(endpoint, body));
}

/** The first 16 hex digits of the SHA-256 of a text's UTF-8. */
export function digestText(text: string): string {
  return hash("sha256", text, "hex").slice(0, 16);
}

/** The text in a prompt, a message, a content part or a list of any of them. */
export function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(value);
  if (Array.isArray(value)) {
    return value.length === 1 ? textOf(value[0]) : value.map(textOf).join("\n");
  }
  if (typeof value !== "object" || value === null) return "";
  if ("text" in value) return textOf(value.text);
  return "content" in value ? textOf(value.content) : "";
}
