import type { Assignment, Report } from "../batch/exchange.ts";
import type { Upstream } from "../config/upstreams.ts";
import { classifyAnswer, classifyUnanswered, type Unanswered } from "../core/outcome.ts";
import { oneLine } from "../core/raw-json.ts";
import { readCapped } from "../core/read-capped.ts";
import { readUsage } from "../core/usage.ts";
import type { Endpoint } from "../wire/batch.ts";

/** Bytes of an answer at most: with its task's custom_id it must fit a 2 MB row. */
export const MAX_ANSWER_BYTES = 1_900_000;

/**
 * Makes one upstream call and says what came of it. The timeout spans the whole call, body
 * included. A redirect is not followed, so the key goes to the upstream and nobody else. Never
 * throws.
 */
export async function callUpstream(
  task: Assignment,
  endpoint: Endpoint,
  upstreams: readonly Upstream[],
  nowMs: () => number,
): Promise<Report> {
  const { seq, attempt } = task;
  const startedMs = nowMs();
  const unanswered = (code: Unanswered, message: string): Report => ({
    seq,
    attempt,
    tookMs: nowMs() - startedMs,
    verdict: classifyUnanswered(code),
    result: { kind: "unanswered", code, message },
  });
  const upstream = upstreams.find(({ name }) => name === task.upstream);
  if (upstream === undefined) {
    return unanswered("connection_error", `There is no upstream '${task.upstream}' any more.`);
  }
  // Not AbortSignal.timeout: its timer outlives the call, and an invocation has 10,000 of them.
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), upstream.timeoutMs);
  let answered = false;
  try {
    const response = await fetch(urlOf(upstream, endpoint), {
      method: "POST",
      headers: headersOf(upstream),
      body: task.body,
      redirect: "manual",
      signal: timeout.signal,
    });
    answered = true;
    const text = await readCapped(response, MAX_ANSWER_BYTES);
    if (text === undefined) {
      return unanswered(
        "response_too_large",
        `The upstream's answer is longer than ${MAX_ANSWER_BYTES} bytes.`,
      );
    }
    return reportOf(task, response, text, startedMs, nowMs());
  } catch (error) {
    if (timeout.signal.aborted) {
      return unanswered("timeout", `No whole answer within ${upstream.timeoutMs} ms.`);
    }
    return answered
      ? unanswered("truncated_response", `The answer broke off: ${messageOf(error)}`)
      : unanswered("connection_error", `The upstream could not be reached: ${messageOf(error)}`);
  } finally {
    clearTimeout(timer);
  }
}

function reportOf(
  task: Assignment,
  response: Response,
  text: string,
  startedMs: number,
  nowMs: number,
): Report {
  const { seq, attempt } = task;
  const tookMs = nowMs - startedMs;
  const { status, headers } = response;
  const json = parseJson(text);
  const verdict = classifyAnswer({ status, headers, json }, nowMs);
  if (json === undefined && response.ok) {
    const message = "The upstream answered 2xx with a body that is not JSON.";
    return {
      seq,
      attempt,
      tookMs,
      verdict,
      result: { kind: "unanswered", code: "invalid_response", message },
    };
  }
  return {
    seq,
    attempt,
    tookMs,
    verdict,
    usage: readUsage(json),
    result: {
      kind: "answered",
      status,
      requestId: headers.get("x-request-id") ?? "",
      // An error page that is not JSON is kept as a JSON string.
      body: json === undefined ? JSON.stringify(text) : oneLine(text),
    },
  };
}

function urlOf(upstream: Upstream, endpoint: Endpoint): string {
  return upstream.baseUrl + endpoint.slice("/v1".length);
}

function headersOf(upstream: Upstream): Record<string, string> {
  const headers: Record<string, string> = {
    "content-type": "application/json",
    accept: "application/json",
    "user-agent": "muster",
  };
  switch (upstream.api) {
    case "openai":
      if (upstream.apiKey !== undefined) headers.authorization = `Bearer ${upstream.apiKey}`;
      return headers;
    case "anthropic":
      headers["anthropic-version"] = ANTHROPIC_VERSION;
      if (upstream.apiKey !== undefined) headers["x-api-key"] = upstream.apiKey;
      return headers;
  }
}

/** The version that all bodies are written for: the only one there has been since 2023. */
const ANTHROPIC_VERSION = "2023-06-01";

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
