import type { Dialect } from "./digest.ts";
import type { LimitSettings } from "./settings.ts";
import { TokenBucket } from "./token-bucket.ts";

/** The limit that a refused call ran into, and when to come back. */
export interface Refusal {
  limit: "requests" | "tokens" | "concurrency";
  /** Told by the answer, unless it is not to say. */
  retryAfterMs: number | undefined;
}

/** The limits of the upstream: two token buckets and the calls let in. Time is an argument. */
export class Limits {
  #concurrency: number | undefined;
  #silent = false;
  #requests: TokenBucket | undefined;
  #tokens: TokenBucket | undefined;
  #letIn = 0;

  constructor(settings: LimitSettings, nowMs: number) {
    this.configure(settings, nowMs);
  }

  /** New limits, with full buckets. The calls already let in stay counted. */
  configure(settings: LimitSettings, nowMs: number): void {
    const { rpm, burst, tpm, tokenBurst, concurrency, silent = false } = settings;
    this.#silent = silent;
    this.#concurrency = concurrency;
    this.#requests = rpm ? new TokenBucket(rpm, Math.max(1, burst ?? rpm), nowMs) : undefined;
    this.#tokens = tpm ? new TokenBucket(tpm, Math.max(1, tokenBurst ?? tpm), nowMs) : undefined;
  }

  /**
   * Lets a call of `tokens` tokens in, or says why not. A refused call takes nothing from any
   * bucket. `freeInMs` is when a place is likely to be free, told to a call over `concurrency`.
   */
  admit(tokens: number, freeInMs: number, nowMs: number): Refusal | undefined {
    if (this.#concurrency !== undefined && this.#letIn >= this.#concurrency) {
      return this.#refusal("concurrency", Math.max(1, freeInMs));
    }
    const requestsMs = this.#requests?.waitMs(1, nowMs) ?? 0;
    const tokensMs = this.#tokens?.waitMs(tokens, nowMs) ?? 0;
    if (requestsMs > 0 || tokensMs > 0) {
      return requestsMs >= tokensMs
        ? this.#refusal("requests", requestsMs)
        : this.#refusal("tokens", tokensMs);
    }
    this.#requests?.take(1, nowMs);
    this.#tokens?.take(tokens, nowMs);
    this.#letIn += 1;
    return undefined;
  }

  #refusal(limit: Refusal["limit"], retryAfterMs: number): Refusal {
    return { limit, retryAfterMs: this.#silent ? undefined : retryAfterMs };
  }

  /** A call that was let in has ended. */
  release(): void {
    this.#letIn -= 1;
  }

  /** Writes the `x-ratelimit-*` or `anthropic-ratelimit-*` headers of the limits there are. */
  addHeaders(
    headers: Record<string, string | number>,
    nowMs: number,
    dialect: Dialect = "openai",
  ): void {
    if (this.#silent) return;
    const add = dialect === "anthropic" ? addAnthropicHeaders : addBucketHeaders;
    if (this.#requests) add(headers, "requests", this.#requests, nowMs);
    if (this.#tokens) add(headers, "tokens", this.#tokens, nowMs);
  }
}

type AddHeaders = (
  headers: Record<string, string | number>,
  what: "requests" | "tokens",
  bucket: TokenBucket,
  nowMs: number,
) => void;

const addBucketHeaders: AddHeaders = (headers, what, bucket, nowMs) => {
  headers[`x-ratelimit-limit-${what}`] = bucket.perMinute;
  headers[`x-ratelimit-remaining-${what}`] = Math.floor(bucket.level(nowMs));
  headers[`x-ratelimit-reset-${what}`] = goDuration(bucket.resetMs(nowMs));
};

const addAnthropicHeaders: AddHeaders = (headers, what, bucket, nowMs) => {
  const resetAtMs = Date.now() + Math.ceil(bucket.resetMs(nowMs));
  headers[`anthropic-ratelimit-${what}-limit`] = bucket.perMinute;
  headers[`anthropic-ratelimit-${what}-remaining`] = Math.floor(bucket.level(nowMs));
  headers[`anthropic-ratelimit-${what}-reset`] = new Date(resetAtMs).toISOString();
};

/** Milliseconds as Go writes them: `12ms`, `1.5s`, `6m0s`, `1h0m0s`. */
export function goDuration(ms: number): string {
  const whole = Math.ceil(ms);
  if (whole === 0) return "0s";
  if (whole < 1000) return `${whole}ms`;
  if (whole < 60_000) return `${whole / 1000}s`;
  const minutes = Math.floor(whole / 60_000);
  const seconds = (whole % 60_000) / 1000;
  if (minutes < 60) return `${minutes}m${seconds}s`;
  return `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}s`;
}

/** `retry-after-ms`, and `retry-after` in whole seconds, rounded up so that it is never early. */
export function retryHeaders(retryAfterMs: number): Record<string, string> {
  return {
    "retry-after-ms": String(Math.ceil(retryAfterMs)),
    "retry-after": String(Math.ceil(retryAfterMs / 1000)),
  };
}
