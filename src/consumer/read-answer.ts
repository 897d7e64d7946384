import { CompletionStream, type StreamEnd } from "../core/completion-stream.ts";
import {
  classifyAnswer,
  classifyUnanswered,
  type Unanswered,
  type Verdict,
} from "../core/outcome.ts";
import { readCapped } from "../core/read-capped.ts";
import { type Listener, readStream } from "./read-stream.ts";

/** Bytes of an answer at most: with its task's custom_id it must fit a 2 MB row. */
export const MAX_ANSWER_BYTES = 1_900_000;
/** What is kept of an error that is longer than that, or is a page and not JSON. */
const KEPT_OF_ERROR = 100_000;

/** What a response's body came to: its text, or why there is none. */
export type Body =
  | { text: string; json: unknown }
  | { code: Unanswered; message: string; verdict: Verdict };

const TOO_LARGE = refused(
  "response_too_large",
  `The upstream's answer is longer than ${MAX_ANSWER_BYTES} bytes.`,
);
const NOT_JSON = refused(
  "invalid_response",
  "The upstream answered 2xx with a body that is not JSON.",
);

/**
 * Reads a response to its end, whether it is JSON or a stream of events; which of them it is the
 * upstream says, whatever it was asked for.
 *
 * @throws when the body breaks off or its signal fires.
 */
export async function readAnswer(
  response: Response,
  listener: Listener,
  nowMs: () => number,
): Promise<Body> {
  if (!response.ok) return readError(response, listener);
  const type = response.headers.get("content-type") ?? "";
  if (response.body !== null && type.includes("text/event-stream")) {
    return bodyOf(await readStream(response.body, MAX_ANSWER_BYTES, listener), response, nowMs());
  }
  const text = type.includes("json")
    ? await readText(response, listener)
    : await readCapped(response, MAX_ANSWER_BYTES, { onPart: listener.grown });
  if (text === undefined) return TOO_LARGE;
  const json = parseJson(text);
  if (json !== undefined) return { text, json };
  // A stream that does not say that it is one.
  if (!/^\s*(data|event):/.test(text)) return NOT_JSON;
  const stream = new CompletionStream(MAX_ANSWER_BYTES);
  stream.push(text);
  return bodyOf(stream.end(), response, nowMs());
}

/** Reading in one go costs half of reading part by part; for a body that says it is short. */
async function readText(response: Response, { grown }: Listener): Promise<string | undefined> {
  const { headers } = response;
  const length = headers.get("content-length") ?? "";
  // The length of what is packed says nothing about what comes out.
  if (!/^\d{1,5}$/.test(length) || headers.has("content-encoding")) {
    return readCapped(response, MAX_ANSWER_BYTES, { onPart: grown });
  }
  const room = grown(Number(length));
  if (room !== undefined) await room;
  return response.text();
}

/** An error's status says what it means; of a long body its beginning is enough. */
async function readError(response: Response, { grown }: Listener): Promise<Body> {
  const text = await readCapped(response, MAX_ANSWER_BYTES, {
    cutTo: KEPT_OF_ERROR,
    onPart: grown,
  });
  const json = parseJson(text);
  return { text: json === undefined ? text.slice(0, KEPT_OF_ERROR) : text, json };
}

function bodyOf(end: StreamEnd, { headers }: Response, nowMs: number): Body {
  switch (end.kind) {
    case "whole": {
      // As bytes: an answer that came unstreamed is measured so.
      const isLong = end.text.length * 3 > MAX_ANSWER_BYTES;
      if (isLong && new TextEncoder().encode(end.text).length > MAX_ANSWER_BYTES) return TOO_LARGE;
      return { text: end.text, json: parseJson(end.text) };
    }
    case "cut":
      return refused("truncated_response", `The stream is not whole: ${end.why}.`);
    case "too_large":
      return TOO_LARGE;
    case "failed": {
      const { message, status, body } = end.error;
      const said = refused("stream_error", `The upstream ended its stream with: ${message}`);
      if (status === undefined) return said;
      return { ...said, verdict: classifyAnswer({ status, headers, json: body }, nowMs) };
    }
  }
}

function refused(code: Unanswered, message: string) {
  return { code, message, verdict: classifyUnanswered(code) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
