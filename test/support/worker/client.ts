import { exports } from "cloudflare:workers";
import type { BatchObject } from "../../../src/wire/batch.ts";
import type { ErrorBody } from "../../../src/wire/errors.ts";
import type { FileObject } from "../../../src/wire/file.ts";
import type { OutputLine, Summary } from "../../../src/wire/results.ts";
import { until } from "../wait.ts";

export { until };

/** The keys that the worker tests' configuration knows. */
export const DEFAULT_KEY = "sk-test-default";
export const OTHER_KEY = "sk-test-other";
export const ADMIN_KEY = "sk-test-admin-0123456789";

/** A request to the Worker under test, with a key. */
export function call(path: string, init: RequestInit = {}, key = DEFAULT_KEY): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set("authorization", `Bearer ${key}`);
  return exports.default.fetch(new Request(`http://muster.test${path}`, { ...init, headers }));
}

/** POSTs JSON, or a text as it is. */
export function post(path: string, body: unknown, key = DEFAULT_KEY): Promise<Response> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return call(path, { method: "POST", body: text }, key);
}

/** Changes a batch. */
export function patch(id: string, change: unknown, key = DEFAULT_KEY): Promise<Response> {
  return call(`/v1/batches/${id}`, { method: "PATCH", body: JSON.stringify(change) }, key);
}

/** Opens a batch that must be accepted. */
export async function open(body: Record<string, unknown>): Promise<BatchObject> {
  const response = await post("/v1/batches", body);
  if (!response.ok)
    throw new Error(`POST /v1/batches: ${response.status} ${await response.text()}`);
  return response.json();
}

/** A batch as it stands. */
export async function look(id: string): Promise<BatchObject> {
  return (await call(`/v1/batches/${id}`)).json();
}

const ENDED = ["completed", "failed", "expired", "cancelled"];

/** Waits until a batch has ended. */
export function ended(id: string): Promise<BatchObject> {
  return until(
    () => look(id),
    ({ status }) => ENDED.includes(status),
  );
}

/** The summary of a batch. */
export async function results(id: string): Promise<Summary> {
  return (await call(`/v1/batches/${id}/results`)).json();
}

/** The output lines of a batch. */
export async function outputLines(id: string): Promise<OutputLine[]> {
  const response = await call(`/v1/batches/${id}/results`, {
    headers: { accept: "application/jsonl" },
  });
  const text = await response.text();
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as OutputLine);
}

/** The error of a response that must be one. */
export async function errorOf(response: Response): Promise<ErrorBody["error"]> {
  const body: ErrorBody = await response.json();
  return body.error;
}

let salt = 0;

/** A prompt that no other test has. */
export function unique(text: string): string {
  salt += 1;
  return `${text} #${salt} ${crypto.randomUUID()}`;
}

/** One part of a multipart form. With a `filename` it is a file. */
export interface FormPart {
  name: string;
  filename?: string;
  content: string | Uint8Array;
}

const BOUNDARY = "muster-form-boundary";
export const FORM_TYPE = `multipart/form-data; boundary=${BOUNDARY}`;

/** The bytes of a multipart form, its parts in the given order. */
export function formBytes(parts: readonly FormPart[]): Uint8Array {
  const encoder = new TextEncoder();
  const pieces: Uint8Array[] = [];
  for (const { name, filename, content } of parts) {
    const file = filename === undefined ? "" : `; filename="${filename}"`;
    const type = filename === undefined ? "" : "\r\ncontent-type: application/octet-stream";
    pieces.push(
      encoder.encode(
        `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"${file}${type}\r\n\r\n`,
      ),
      typeof content === "string" ? encoder.encode(content) : content,
      encoder.encode("\r\n"),
    );
  }
  pieces.push(encoder.encode(`--${BOUNDARY}--\r\n`));
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** Sends a form, or any bytes in its place, to POST /v1/files. */
export function postForm(body: BodyInit, key = DEFAULT_KEY, type = FORM_TYPE): Promise<Response> {
  return call("/v1/files", { method: "POST", body, headers: { "content-type": type } }, key);
}

/** Uploads an input file that must be accepted. */
export async function upload(
  content: string | Uint8Array,
  key = DEFAULT_KEY,
  filename = "input.jsonl",
): Promise<FileObject> {
  const response = await postForm(
    formBytes([
      { name: "purpose", content: "batch" },
      { name: "file", filename, content },
    ]),
    key,
  );
  if (!response.ok) throw new Error(`POST /v1/files: ${response.status} ${await response.text()}`);
  return response.json();
}

/** A line of an input file that asks a chat model something. */
export function chatLine(customId: string, prompt: string): string {
  return JSON.stringify({
    custom_id: customId,
    method: "POST",
    url: "/v1/chat/completions",
    body: { model: "m", messages: [{ role: "user", content: prompt }] },
  });
}

/** The bytes of a response, and their text; application/jsonl is none to `.text()`. */
export async function bodyOf(response: Response): Promise<{ bytes: Uint8Array; text: string }> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { bytes, text: new TextDecoder().decode(bytes) };
}

/** The objects of a JSONL text. */
export function linesOf(text: string): OutputLine[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as OutputLine);
}

/** What the simulator's answer to a prompt begins with. */
export async function digestOf(prompt: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(prompt));
  const hex = [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0"));
  return `digest:${hex.join("").slice(0, 16)}`;
}
