import { isRecord } from "./exact-json.ts";

/** An error that an upstream told in the middle of a stream, whose headers had said 200. */
export interface StreamError {
  message: string;
  /** The status that a call which was not streamed would have got, as far as the error tells. */
  status: number | undefined;
  /** The error as an answer's body has it, for those who look into that. */
  body: { error: unknown };
}

/** Errors that are told by a word, and their status at OpenAI, Anthropic and OpenRouter. */
const STATUS: Partial<Record<string, number>> = {
  insufficient_quota: 429,
  rate_limit_exceeded: 429,
  rate_limit_error: 429,
  overloaded_error: 529,
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  api_error: 500,
  timeout_error: 504,
};

/** Characters of an upstream's message that are kept. */
const MAX_MESSAGE = 500;

/** Reads what stands where an error is expected: an object with a message, or just words. */
export function readStreamError(error: unknown): StreamError {
  const { message, code, type, status } = isRecord(error) ? error : { message: error };
  const said = typeof message === "string" && message !== "" ? message : JSON.stringify(error);
  return {
    message: (said ?? "no message").slice(0, MAX_MESSAGE),
    status: [status, code, type].map(statusOf).find((found) => found !== undefined),
    body: { error },
  };
}

function statusOf(value: unknown): number | undefined {
  const number = typeof value === "string" ? (STATUS[value] ?? Number(value)) : value;
  if (typeof number !== "number" || !Number.isInteger(number)) return undefined;
  return number >= 400 && number < 600 ? number : undefined;
}
