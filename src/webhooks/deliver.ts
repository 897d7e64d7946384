import type { Config } from "../config.ts";
import { parseRetryAfter } from "../core/retry-after.ts";
import { checkTarget } from "../core/target.ts";
import { nextDeliveryDelayMs } from "./schedule.ts";
import { signedHeaders } from "./sign.ts";

/** A webhook to send. */
export interface Message {
  /** The webhook-id, the same at every attempt and every receiver. */
  id: string;
  body: string;
}

/** Where it goes, and all keys in force there. */
export interface Target {
  url: string;
  secrets: readonly string[];
}

/** What came of sending once. */
export interface Answer {
  /** Null when there was no answer. */
  status: number | null;
  /** Null for a 2xx. */
  error: string | null;
  startedMs: number;
  tookMs: number;
  /** How long the receiver is to be left alone, because it said so or has too much to do; or 0. */
  restMs: number;
  /** Whether no further attempt can do better: a 410, or a URL that may not be sent to. */
  final: boolean;
}

/** What came of one attempt of a delivery. */
export interface Sent extends Answer {
  state: "due" | "delivered" | "failed";
  /** When to try again, for one that stays due. */
  nextMs: number;
}

/** A receiver gets this long to answer (WIRE.md, section 1). */
const TIMEOUT_MS = 15_000;
const LATE = `The receiver did not answer within ${TIMEOUT_MS / 1000} s.`;
/** A receiver's retry-after is obeyed up to this. */
const REST_MAX_MS = 24 * 3_600_000;
/** Statuses of a receiver that has too much to do (Standard Webhooks): it is sent less. */
const OVERLOADED = [429, 502, 504];
/** How long one is left alone that does not say how long. */
const REST_MS = 60_000;

/**
 * Sends a webhook once. The target is checked each time, redirects are not followed: a 3xx is a
 * failure like any other answer that is not 2xx. Never throws.
 */
export async function send(
  message: Message,
  target: Target,
  config: Config,
  nowMs: () => number,
): Promise<Answer> {
  const startedMs = nowMs();
  const failed = { startedMs, status: null, restMs: 0 };
  const checked = checkTarget(target.url, { allowPrivate: config.webhookAllowPrivate });
  if (!checked.ok) return { ...failed, error: checked.reason, tookMs: 0, final: true };
  if (target.secrets.length === 0) {
    return { ...failed, error: "The webhook has no secret.", tookMs: 0, final: true };
  }
  const abort = new AbortController();
  // Cleared with the call: a timer that outlives it keeps the object from sleeping.
  const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const { id, body } = message;
    const response = await fetch(checked.url, {
      method: "POST",
      headers: {
        ...signedHeaders({ id, timestampMs: startedMs, body, secrets: target.secrets }),
        // Some firewalls turn away who has no name.
        "user-agent": "Muster-Webhooks",
      },
      body,
      redirect: "manual",
      signal: abort.signal,
    });
    await response.body?.cancel();
    const { status, ok } = response;
    return {
      startedMs,
      tookMs: nowMs() - startedMs,
      status,
      error: ok ? null : `The receiver answered ${status}.`,
      restMs: restMs(response, nowMs()),
      final: status === 410,
    };
  } catch (error) {
    const why = abort.signal.aborted ? LATE : unreachable(error);
    return { ...failed, error: why, tookMs: nowMs() - startedMs, final: false };
  } finally {
    clearTimeout(timer);
  }
}

/** Makes one attempt of a delivery. @param attempts made before it, since it was last made due. */
export async function deliver(
  message: Message,
  attempts: number,
  target: Target,
  config: Config,
  nowMs: () => number,
  random: () => number,
): Promise<Sent> {
  const answer = await send(message, target, config, nowMs);
  if (answer.error === null) return { ...answer, state: "delivered", nextMs: nowMs() };
  const delayMs = answer.final
    ? undefined
    : nextDeliveryDelayMs({
        attempt: attempts + 1,
        random: random(),
        retryAfterMs: answer.restMs,
      });
  return delayMs === undefined
    ? { ...answer, state: "failed", nextMs: nowMs() }
    : { ...answer, state: "due", nextMs: Math.ceil(nowMs() + delayMs) };
}

function restMs({ status, headers }: Response, nowMs: number): number {
  const overloaded = OVERLOADED.includes(status);
  if (!overloaded && status !== 503) return 0;
  const askedMs = parseRetryAfter(headers, nowMs) ?? (overloaded ? REST_MS : 0);
  return Math.min(askedMs, REST_MAX_MS);
}

/** The runtime keeps to itself what went wrong before there was a connection. */
function unreachable(error: unknown): string {
  const said = error instanceof Error ? error.message : String(error);
  const why = said.startsWith("internal error")
    ? "its name does not resolve, or its certificate is not valid."
    : said;
  return `The receiver could not be reached: ${why}`;
}
