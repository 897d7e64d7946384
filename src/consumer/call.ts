import type { Assignment, Report } from "../batch/exchange.ts";
import { keyHeaders, urlOf } from "../config/address.ts";
import type { Upstream } from "../config/upstreams.ts";
import { classifyAnswer, classifyUnanswered, type Unanswered } from "../core/outcome.ts";
import { oneLine } from "../core/raw-json.ts";
import { streamedBody } from "../core/stream-request.ts";
import { readToldLimits } from "../core/told-limits.ts";
import { readUsage } from "../core/usage.ts";
import type { Endpoint } from "../wire/batch.ts";
import type { Deadlines } from "./deadlines.ts";
import { heard } from "./heard.ts";
import type { Held } from "./memory.ts";
import { readAnswer } from "./read-answer.ts";
import { Silence } from "./read-stream.ts";
import type { Slots } from "./slots.ts";

/** What a call stands on. */
export interface CallGround {
  slots: Slots;
  deadlines: Deadlines;
  /** For the answer, which stays there after the call. */
  held: Held;
  /** Told of bytes of streams, which cost CPU time. */
  read(bytes: number): void;
  nowMs(): number;
}

/** A character takes two bytes in memory, unless all of its text are Latin-1. */
const BYTES_A_CHAR = 2;

/**
 * Makes one upstream call and says what came of it. The timeout begins with the request and spans
 * the whole call, body included. A redirect is not followed, so the key goes to the upstream and
 * nobody else. Never throws.
 */
export async function callUpstream(
  task: Assignment,
  endpoint: Endpoint,
  upstream: Upstream | undefined,
  { slots, deadlines, held, read, nowMs }: CallGround,
): Promise<Report> {
  const { seq, attempt } = task;
  if (upstream !== undefined) await slots.enter();
  const startedMs = nowMs();
  const report = (rest: Pick<Report, "verdict" | "usage" | "told" | "result">): Report => ({
    seq,
    attempt,
    tookMs: nowMs() - startedMs,
    ...rest,
  });
  const unanswered = (code: Unanswered, message: string) =>
    report({ verdict: classifyUnanswered(code), result: { kind: "unanswered", code, message } });
  if (upstream === undefined) {
    return unanswered("connection_error", `There is no upstream '${task.upstream}' any more.`);
  }
  const streamed = upstream.streamChat ? streamedBody(endpoint, task.body) : undefined;
  // Not AbortSignal.timeout: its timer outlives the call, and an invocation has 10,000 of them.
  const timeout = new AbortController();
  const inTime = deadlines.set(upstream.timeoutMs, () => timeout.abort());
  let silent = false;
  const silence = new Silence(upstream.idleTimeoutMs, () => {
    silent = true;
    timeout.abort();
  });
  const grown = (chars: number) => held.add(BYTES_A_CHAR * chars);
  let response: Response | undefined;
  try {
    response = await connect(slots, urlOf(upstream, endpoint), {
      method: "POST",
      headers: headersOf(upstream, endpoint, task, streamed !== undefined),
      body: streamed ?? task.body,
      redirect: "manual",
      signal: timeout.signal,
    });
    const body = await readAnswer(response, { silence, read, grown }, nowMs);
    if ("code" in body) {
      const { verdict, code, message } = body;
      return report({ verdict, result: { kind: "unanswered", code, message } });
    }
    const { status, headers } = response;
    return report({
      verdict: classifyAnswer({ status, headers, json: body.json }, nowMs()),
      usage: readUsage(body.json),
      told: readToldLimits(headers, nowMs()),
      result: {
        kind: "answered",
        status,
        requestId: headers.get("x-request-id") ?? headers.get("request-id") ?? "",
        // An error page that is not JSON is kept as a JSON string.
        body: body.json === undefined ? JSON.stringify(body.text) : oneLine(body.text),
      },
    });
  } catch (error) {
    if (timeout.signal.aborted) await heard();
    if (silent) {
      return unanswered("timeout", `The stream was silent for ${upstream.idleTimeoutMs} ms.`);
    }
    if (timeout.signal.aborted) {
      return unanswered("timeout", `No whole answer within ${upstream.timeoutMs} ms.`);
    }
    return response === undefined
      ? unanswered("connection_error", `The upstream could not be reached: ${messageOf(error)}`)
      : unanswered("truncated_response", `The answer broke off: ${messageOf(error)}`);
  } finally {
    inTime();
    silence.stop();
  }
}

/** Sends a request from a slot that was entered, and leaves it when the headers are there. */
async function connect(slots: Slots, url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } finally {
    slots.leave();
  }
}

function headersOf(
  upstream: Upstream,
  endpoint: Endpoint,
  task: Assignment,
  streamed: boolean,
): Record<string, string> {
  return {
    "content-type": "application/json",
    // An upstream that cannot stream may answer all the same.
    accept: streamed ? "text/event-stream, application/json" : "application/json",
    "user-agent": "muster",
    ...keyHeaders(upstream, endpoint),
    ...task.headers,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
