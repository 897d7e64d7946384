import { parseRetryAfter, shouldRetryHeader } from "./retry-after.ts";

/**
 * What one upstream call means for its task, decided once:
 * - `succeeded`: a 2xx whose body is whole JSON.
 * - `failed`: an answer that another attempt would not change.
 * - `retry`: the attempt failed; another one may not.
 * - `throttled`: the upstream was too busy (429). The attempt does not count; the upstream rests.
 */
export type Verdict =
  | { kind: "succeeded" }
  | { kind: "failed" }
  | { kind: "retry"; afterMs?: number | undefined }
  | { kind: "throttled"; afterMs?: number | undefined };

/** A call that was answered: any status, with its whole body. */
export interface Answer {
  status: number;
  headers: { get(name: string): string | null };
  /** The parsed body, or undefined when it is not JSON. */
  json: unknown;
}

/** Why a call got no usable answer. The code stands in the output line's `error.code`. */
export type Unanswered =
  | "timeout"
  | "connection_error"
  | "truncated_response"
  | "stream_error"
  | "invalid_response"
  | "response_too_large";

/**
 * Classifies an answer. The decision is that of both official SDKs: `x-should-retry` wins, then
 * 408, 409, 429 and 500 or more are tried again (see WIRE.md, section 4).
 *
 * @param nowMs for a `retry-after` that is a date.
 */
export function classifyAnswer(answer: Answer, nowMs: number): Verdict {
  const { status, headers } = answer;
  if (status >= 200 && status < 300) {
    // A 2xx that is not JSON is a proxy's page or a cut answer, not what was paid for.
    return answer.json === undefined ? { kind: "retry" } : { kind: "succeeded" };
  }
  const afterMs = parseRetryAfter(headers, upstreamNowMs(headers) ?? nowMs);
  const told = shouldRetryHeader(headers);
  if (status === 429) {
    if (isAboutMoney(answer.json) || told === false) return { kind: "failed" };
    return { kind: "throttled", afterMs };
  }
  const retryable = status === 408 || status === 409 || status >= 500;
  return (told ?? retryable) ? { kind: "retry", afterMs } : { kind: "failed" };
}

/** Classifies a call that got no usable answer. */
export function classifyUnanswered(code: Unanswered): Verdict {
  switch (code) {
    case "timeout":
    case "connection_error":
    case "truncated_response":
    case "stream_error":
    case "invalid_response":
      return { kind: "retry" };
    case "response_too_large":
      return { kind: "failed" };
  }
}

/**
 * Whether the failure of a task that will not be tried again by itself may go away when its caller
 * sends it once more: the `retry` of the summary. A verdict that allowed another attempt only ended
 * the task because its attempts were used up.
 */
export function worthRetrying(verdict: Verdict["kind"]): boolean {
  return verdict === "retry" || verdict === "throttled";
}

/**
 * Whether an answer is about the key that the call carried, and so about every call that carries it:
 * 401, or a 403 that says so.
 *
 * @param body JSON text.
 */
export function refusesKey(status: number, body: string): boolean {
  if (status !== 403) return status === 401;
  const error = field(parsed(body), "error");
  return ["type", "code", "status"].some((name) => {
    const word = field(error, name);
    return typeof word === "string" && KEY.test(word);
  });
}

/** Anthropic says it in `error.type`, Google in `error.status`, OpenAI in `error.code`. */
const KEY = /^(permission_error|permission_denied|authentication_error|invalid_api_key)$/i;

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** The upstream's own clock, from its `date` header: a `retry-after` that is a date is told by it. */
function upstreamNowMs(headers: Answer["headers"]): number | undefined {
  const ms = Date.parse(headers.get("date") ?? "");
  return Number.isNaN(ms) ? undefined : ms;
}

const MONEY =
  /^(insufficient_quota|credit_balance_exhausted|billing_error|.*_spend_limit_(exceeded|reached)|organization_usage_limit_exceeded)$/;

/** OpenAI says it in `error.type` or `error.code`, Anthropic in `error.details.error_code`. */
function isAboutMoney(body: unknown): boolean {
  const error = field(body, "error");
  const details = field(error, "details");
  return [field(error, "type"), field(error, "code"), field(details, "error_code")].some(
    (word) => typeof word === "string" && MONEY.test(word),
  );
}

/** The message of an upstream's error body (`error.message`, `error`, or `message`), if it has one. */
export function errorMessage(body: unknown): string | undefined {
  const error = field(body, "error");
  for (const candidate of [field(error, "message"), error, field(body, "message")]) {
    if (typeof candidate === "string" && candidate !== "") return candidate;
  }
  return undefined;
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return (value as Record<string, unknown>)[name];
}
