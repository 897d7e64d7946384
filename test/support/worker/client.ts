import { exports } from "cloudflare:workers";
import type { BatchObject } from "../../../src/wire/batch.ts";
import type { ErrorBody } from "../../../src/wire/errors.ts";
import type { OutputLine, Summary } from "../../../src/wire/results.ts";

/** The keys that the worker tests' configuration knows. */
export const DEFAULT_KEY = "sk-test-default";
export const OTHER_KEY = "sk-test-other";

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

/** Opens a batch that must be accepted. */
export async function open(body: Record<string, unknown>): Promise<BatchObject> {
  const response = await post("/v1/batches", body);
  if (!response.ok) throw new Error(`POST /v1/batches: ${response.status} ${await response.text()}`);
  return response.json();
}

/** A batch as it stands. */
export async function look(id: string): Promise<BatchObject> {
  return (await call(`/v1/batches/${id}`)).json();
}

/** Waits for a condition. @throws after `timeoutMs`, with what was last seen. */
export async function until<T>(
  see: () => Promise<T>,
  good: (seen: T) => boolean,
  timeoutMs = 30_000,
): Promise<T> {
  const endMs = Date.now() + timeoutMs;
  for (;;) {
    const seen = await see();
    if (good(seen)) return seen;
    if (Date.now() > endMs) throw new Error(`waited in vain; last seen: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
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
