/** What of a `Headers` object is needed here. */
interface ReadableHeaders {
  get(name: string): string | null;
}

const DECIMAL = /^(?:\d+\.?\d*|\.\d+)$/;

/**
 * How long an upstream asks to wait, in milliseconds from `nowMs` (Unix time): `retry-after-ms`
 * first, then `retry-after` in seconds, whole or fractional, or as an HTTP date (a past one is 0).
 * The order is that of the official OpenAI and Anthropic SDKs; the grammar is RFC 9110 §10.2.3.
 * What is neither a number nor a date, or negative, counts as absent. There is no upper limit: the
 * caller knows how long it can wait.
 */
export function parseRetryAfter(headers: ReadableHeaders, nowMs: number): number | undefined {
  const exact = parseDecimal(headers.get("retry-after-ms"));
  if (exact !== undefined) return Math.round(exact);
  const value = headers.get("retry-after");
  const seconds = parseDecimal(value);
  if (seconds !== undefined) return finite(Math.round(seconds * 1000));
  const dateMs = value === null ? undefined : parseHttpDate(value.trim(), nowMs);
  return dateMs === undefined ? undefined : Math.max(0, dateMs - nowMs);
}

/**
 * The upstream's own word on whether to retry, which wins over the status code in both official
 * SDKs; undefined when it says nothing, or nothing that the SDKs understand.
 */
export function shouldRetryHeader(headers: ReadableHeaders): boolean | undefined {
  const value = headers.get("x-should-retry");
  if (value === "true") return true;
  if (value === "false") return false;
  return undefined;
}

function parseDecimal(value: string | null): number | undefined {
  const trimmed = value?.trim() ?? "";
  return DECIMAL.test(trimmed) ? finite(Number(trimmed)) : undefined;
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const TIME = String.raw`(?<hour>\d{2}):(?<minute>\d{2}):(?<second>\d{2})`;
/** The three forms of RFC 9110 §5.6.7: IMF-fixdate, RFC 850 and asctime, all of them UTC. */
const HTTP_DATES = [
  new RegExp(String.raw`^[A-Z][a-z]{2}, (?<day>\d{2}) (?<month>\w{3}) (?<year>\d{4}) ${TIME} GMT$`),
  new RegExp(String.raw`^[A-Z][a-z]+, (?<day>\d{2})-(?<month>\w{3})-(?<year>\d{2}) ${TIME} GMT$`),
  new RegExp(String.raw`^[A-Z][a-z]{2} (?<month>\w{3}) (?<day>[ \d]\d) ${TIME} (?<year>\d{4})$`),
];

/**
 * Unix milliseconds. Not `Date.parse`: V8's makes a date of "-5", and reads asctime as local time.
 */
function parseHttpDate(value: string, nowMs: number): number | undefined {
  const parts = HTTP_DATES.map((form) => form.exec(value)?.groups).find((groups) => groups);
  if (!parts) return undefined;
  const month = MONTHS.indexOf(parts.month ?? "");
  const [day, hour, minute, second] = [parts.day, parts.hour, parts.minute, parts.second].map(
    Number,
  ) as [number, number, number, number];
  const year = fullYear(parts.year ?? "", nowMs);
  // A leap second is allowed, as in RFC 9110; it is the next minute's first.
  if (month === -1 || hour > 23 || minute > 59 || second > 60) return undefined;
  const midnightMs = Date.UTC(year, month, day);
  if (new Date(midnightMs).getUTCDate() !== day) return undefined;
  return midnightMs + ((hour * 60 + minute) * 60 + second) * 1000;
}

/** RFC 9110 §5.6.7: two digits that seem over 50 years ahead are the last such year in the past. */
function fullYear(digits: string, nowMs: number): number {
  if (digits.length === 4) return Number(digits);
  const thisYear = new Date(nowMs).getUTCFullYear();
  const year = thisYear - (thisYear % 100) + Number(digits);
  return year > thisYear + 50 ? year - 100 : year;
}
