import { answerObject } from "./answers.ts";
import { apiError, badRequest } from "./api-error.ts";
import type { Call } from "./call.ts";
import type { Endpoint } from "./digest.ts";
import { type Draft, draftAnswer } from "./draft.ts";
import { faultDelayMs, pickFault } from "./faults.ts";
import { drawLatencyMs } from "./latency.ts";
import { type Refusal, retryHeaders } from "./limits.ts";
import { messageEvents } from "./message.ts";
import { type Reply, sendReply, writeReplyHead } from "./reply.ts";
import { type ModelRequest, readRequest } from "./requests.ts";
import { responseEvents } from "./response-events.ts";
import type { Latency, Settings } from "./settings.ts";
import { chatEvents, eventStream, streamEvents } from "./sse.ts";
import type { PromptRecord } from "./stats.ts";
import { strike } from "./strike.ts";
import type { Upstream } from "./upstream.ts";

const wrongKey = apiError(
  401,
  "invalid_request_error",
  "Incorrect API key provided.",
  "invalid_api_key",
);

const noVersion = badRequest("anthropic-version: header is required", null, "missing_header");

/** A call whose body has come: key, request, limits, fault, answer, in this order. */
export function walk(upstream: Upstream, call: Call, endpoint: Endpoint, text: string): void {
  const { apiKey } = upstream.settings;
  if (apiKey && !opens(call, apiKey)) {
    call.sendError(wrongKey);
    return;
  }
  if (call.dialect === "anthropic" && call.request.headers["anthropic-version"] === undefined) {
    call.sendError(noVersion);
    return;
  }
  const read = readRequest(endpoint, text);
  if ("request" in read) pass(upstream, call, read.request);
  else call.sendError(read.error);
}

function opens({ credential, dialect }: Call, apiKey: string): boolean {
  if (credential === `Bearer ${apiKey}`) return true;
  return dialect === "anthropic" && credential === `x-api-key: ${apiKey}`;
}

/** The limits, which let the call in or refuse it. */
function pass({ settings, origin }: Upstream, call: Call, request: ModelRequest): void {
  const record = call.tally.prompt(request.digest);
  const draft = draftAnswer(request, settings.seed);
  const tokens = draft.promptTokens + draft.completionTokens;
  const freeInMs = typicalMs(settings.latency);
  const refusal = call.limits.admit(tokens, freeInMs, performance.now());
  if (refusal) {
    refuse(call, refusal);
    return;
  }
  call.enter();
  record.attempts += 1;
  conclude(settings, origin, call, request, draft, record);
}

/** The fault or the answer. */
function conclude(
  settings: Settings,
  origin: string,
  call: Call,
  request: ModelRequest,
  draft: Draft,
  record: PromptRecord,
): void {
  const { seed } = settings;
  const { prompt, digest, model } = request;
  const latencyMs = drawLatencyMs(settings.latency, seed, digest, model);
  const answered = { record, latencyMs };
  const reply = () => replyTo(request, draft, seed);
  const fault = pickFault(settings.faults, seed, { prompt, digest, attempt: record.attempts });
  if (fault) {
    const waitMs = faultDelayMs(fault, latencyMs);
    const intended = { origin, answered: { record, latencyMs: waitMs }, reply };
    call.after(waitMs, () => strike(call, fault, intended));
  } else if (request.stream) {
    streamEvents(call, eventsOf(request, draft, seed), answered);
  } else if (settings.headersFirst) {
    const whole = reply();
    writeReplyHead(call, whole);
    call.response.flushHeaders();
    call.after(latencyMs, () => call.finish(whole.body, answered));
  } else {
    call.after(latencyMs, () => sendReply(call, reply(), answered));
  }
}

function replyTo(request: ModelRequest, draft: Draft, seed: number): Reply {
  return request.stream
    ? { contentType: eventStream, body: eventsOf(request, draft, seed).join("") }
    : {
        contentType: "application/json",
        body: JSON.stringify(answerObject(request, draft, seed)),
      };
}

function eventsOf(request: ModelRequest, draft: Draft, seed: number): string[] {
  switch (request.endpoint) {
    case "/v1/messages":
      return messageEvents(request, draft);
    case "/v1/responses":
      return responseEvents(answerObject(request, draft, seed), request, draft);
    default:
      return chatEvents(request, draft);
  }
}

function refuse(call: Call, { limit, retryAfterMs }: Refusal): void {
  const when = retryAfterMs === undefined ? "later" : `in ${Math.ceil(retryAfterMs)}ms`;
  const message = `Rate limit reached on ${limit}. Please try again ${when}.`;
  const error = apiError(429, "rate_limit_exceeded", message, "rate_limit_exceeded");
  call.sendError(error, retryAfterMs === undefined ? {} : retryHeaders(retryAfterMs));
}

/** When a place under the concurrency limit is likely to be free. */
function typicalMs(latency: Latency): number {
  return latency.kind === "fixed" ? latency.ms : latency.medianMs;
}
