import { exports } from "cloudflare:workers";
import type { AnthropicError } from "../../../src/wire/anthropic/error.ts";
import type { MessageBatch } from "../../../src/wire/anthropic/message-batch.ts";
import { type ResultLine, resultLine } from "../../../src/wire/anthropic/result-line.ts";
import { bodyOf, DEFAULT_KEY, until } from "./client.ts";

/** Anthropic's door, as its clients use it. */
export const BATCHES = "/v1/messages/batches";

/** A request to it, with a key in Anthropic's header. */
export function ask(path: string, init: RequestInit = {}, key = DEFAULT_KEY): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set("x-api-key", key);
  return exports.default.fetch(new Request(`http://muster.test${path}`, { ...init, headers }));
}

/** One request of a batch. */
export function request(custom_id: string, prompt: string, params: object = {}) {
  const messages = [{ role: "user", content: prompt }];
  return { custom_id, params: { model: "claude", max_tokens: 100, messages, ...params } };
}

/** POSTs a batch: its requests, or a whole body as text. */
export function create(
  requests: unknown,
  more: object = {},
  headers: Record<string, string> = {},
): Promise<Response> {
  const body = typeof requests === "string" ? requests : JSON.stringify({ requests, ...more });
  return ask(BATCHES, { method: "POST", body, headers });
}

/** Opens a batch that must be accepted. */
export async function opened(requests: unknown, more: object = {}): Promise<MessageBatch> {
  const response = await create(requests, more);
  if (!response.ok) throw new Error(`POST ${BATCHES}: ${await response.text()}`);
  return response.json();
}

/** A batch as it stands. */
export async function lookAt(id: string): Promise<MessageBatch> {
  return (await ask(`${BATCHES}/${id}`)).json();
}

/** Waits until a batch has ended. */
export function endOf(id: string): Promise<MessageBatch> {
  return until(
    () => lookAt(id),
    ({ processing_status }) => processing_status === "ended",
  );
}

/** The lines of a batch's results, from the URL that it names. */
export async function resultsOf(batch: MessageBatch): Promise<ResultLine[]> {
  const { pathname } = new URL(batch.results_url ?? "");
  const { text } = await bodyOf(await ask(pathname));
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => resultLine.parse(JSON.parse(line)));
}

/** The error of a response that must be one, in Anthropic's shape. */
export async function refusalOf(response: Response): Promise<AnthropicError> {
  const body: AnthropicError = await response.json();
  if (body.type !== "error") throw new Error(`${response.status} ${JSON.stringify(body)}`);
  return body;
}
