/**
 * What an answer's headers say of the limits it was counted against: OpenAI's `x-ratelimit-*` and
 * Anthropic's `anthropic-ratelimit-*`. Both tell, of a bucket, its limit, what remains in it, and
 * when it will be full again (WIRE.md, section 4).
 */

/** What of a `Headers` object is needed here. */
interface ReadableHeaders {
  get(name: string): string | null;
}

/** One bucket as an answer's headers tell it. */
export interface Reading {
  /** What it allows in its window, which no header names. */
  limit: number;
  /** Whole units that were left when the call was let in. */
  remaining: number;
  /** Until it is full again. */
  resetMs: number;
}

/** What one answer told. */
export interface Told {
  requests?: Reading | undefined;
  tokens?: Reading | undefined;
}

/** Anthropic's tokens: those of the limit that is nearest, where it says so; else one of the two. */
const ANTHROPIC_TOKENS = ["tokens", "input-tokens", "output-tokens"];

/**
 * Reads them. What is missing, negative or no number means nothing: the bucket is left out then.
 *
 * @param nowMs for a reset that is a time, if the answer has no date of its own.
 * @returns undefined when no bucket is told whole.
 */
export function readToldLimits(headers: ReadableHeaders, nowMs: number): Told | undefined {
  const requests =
    readOpenai(headers, "requests") ?? readAnthropic(headers, ["requests"], nowMs) ?? undefined;
  const tokens =
    readOpenai(headers, "tokens") ?? readAnthropic(headers, ANTHROPIC_TOKENS, nowMs) ?? undefined;
  return requests === undefined && tokens === undefined ? undefined : { requests, tokens };
}

function readOpenai(headers: ReadableHeaders, what: string): Reading | undefined {
  const get = (name: string) => headers.get(`x-ratelimit-${name}-${what}`);
  return reading(get("limit"), get("remaining"), parseGoDuration(get("reset")));
}

function readAnthropic(
  headers: ReadableHeaders,
  names: readonly string[],
  nowMs: number,
): Reading | undefined {
  const found = names.flatMap((what) => {
    const get = (name: string) => headers.get(`anthropic-ratelimit-${what}-${name}`);
    const atMs = Date.parse(get("reset") ?? "");
    const sentMs = Date.parse(headers.get("date") ?? "");
    const resetMs = Math.max(0, atMs - (Number.isNaN(sentMs) ? nowMs : sentMs));
    return reading(get("limit"), get("remaining"), Number.isNaN(atMs) ? undefined : resetMs) ?? [];
  });
  const left = ({ remaining, limit }: Reading) => remaining / limit;
  return found.toSorted((a, b) => left(a) - left(b))[0];
}

function reading(
  limit: string | null,
  remaining: string | null,
  resetMs: number | undefined,
): Reading | undefined {
  const most = amount(limit);
  const left = amount(remaining);
  if (most === undefined || left === undefined || most === 0 || resetMs === undefined) return;
  return { limit: most, remaining: Math.min(left, most), resetMs };
}

function amount(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text.trim()) ? Number(text) : undefined;
}

const UNITS_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6,
};
const GO_DURATION = /^(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns))+$/;
const GO_PART = /(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)/g;

/**
 * A duration as Go's `time.Duration` writes it (`12ms`, `1.5s`, `6m0s`), in milliseconds; plain
 * seconds are taken, too, which some compatible servers send. Undefined for anything else.
 */
export function parseGoDuration(text: string | null): number | undefined {
  const said = text?.trim() ?? "";
  if (/^\d+(\.\d+)?$/.test(said)) return Number(said) * 1_000;
  if (!GO_DURATION.test(said)) return undefined;
  let ms = 0;
  for (const [, value, unit] of said.matchAll(GO_PART)) {
    ms += Number(value) * (UNITS_MS[unit ?? ""] ?? 0);
  }
  return ms;
}
