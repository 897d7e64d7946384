import type { Config } from "../config.ts";
import { parseRetryAfter } from "../core/retry-after.ts";
import { nextDeliveryDelayMs } from "./schedule.ts";
import { signedHeaders } from "./sign.ts";
import { checkTarget } from "./target.ts";

/** A webhook to send. */
export interface Due {
  /** The webhook-id, the same at every attempt. */
  id: string;
  url: string;
  body: string;
  /** Attempts made so far. */
  attempts: number;
}

/** What came of one attempt to deliver. */
export interface Sent {
  state: "due" | "delivered" | "failed";
  /** When to try again, for one that stays due. */
  nextMs: number;
  status: number | null;
  error: string | null;
}

/** A receiver gets this long to answer (WIRE.md, section 1). */
const TIMEOUT_MS = 15_000;
/** A receiver's retry-after is obeyed up to this. */
const RETRY_AFTER_MAX_MS = 24 * 3_600_000;
const SLOW_DOWN = [429, 502, 503, 504];

/**
 * Sends one webhook once. The target is checked again at each attempt, redirects are not followed:
 * a 3xx is a failure like any other answer that is not 2xx, and a 410 ends the attempts. Never
 * throws.
 */
export async function deliver(
  delivery: Due,
  secret: string | null,
  config: Config,
  nowMs: () => number,
  random: () => number,
): Promise<Sent> {
  const target = checkTarget(delivery.url, { allowPrivate: config.webhookAllowPrivate });
  if (!target.ok || secret === null) {
    const error = target.ok ? "The webhook has no secret." : target.reason;
    return { state: "failed", nextMs: nowMs(), status: null, error };
  }
  const attempt = delivery.attempts + 1;
  const again = (status: number | null, error: string, retryAfterMs?: number): Sent => {
    const delayMs = nextDeliveryDelayMs({ attempt, random: random(), retryAfterMs });
    if (delayMs === undefined) return { state: "failed", nextMs: nowMs(), status, error };
    return { state: "due", nextMs: Math.ceil(nowMs() + delayMs), status, error };
  };
  try {
    const response = await fetch(target.url, {
      method: "POST",
      headers: signedHeaders({
        id: delivery.id,
        timestampMs: nowMs(),
        body: delivery.body,
        secrets: [secret],
      }),
      body: delivery.body,
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.body?.cancel();
    const { status } = response;
    if (response.ok) return { state: "delivered", nextMs: nowMs(), status, error: null };
    const error = `The receiver answered ${status}.`;
    if (status === 410) return { state: "failed", nextMs: nowMs(), status, error };
    const retryAfterMs = SLOW_DOWN.includes(status)
      ? parseRetryAfter(response.headers, nowMs())
      : undefined;
    return again(
      status,
      error,
      retryAfterMs === undefined ? undefined : Math.min(retryAfterMs, RETRY_AFTER_MAX_MS),
    );
  } catch (error) {
    return again(null, String(error));
  }
}
