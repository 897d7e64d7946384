/** Numbers and times as the page shows them. */

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 12,345 */
export const number = (value: number): string => whole.format(value);

/** 12.3K */
export const short = (value: number): string =>
  value < 10_000 ? whole.format(value) : compact.format(value);

/** US dollars, with as many digits as a small sum needs. */
export const dollars = (value: number): string =>
  `$${value.toFixed(value !== 0 && value < 1 ? 4 : 2)}`;

/** A length of time in its two largest units: 1 h 5 min, 3 min 12 s, 850 ms. */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${ms < 10_000 ? (ms / 1000).toFixed(1) : seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min${seconds % 60 === 0 ? "" : ` ${seconds % 60} s`}`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h${minutes % 60 === 0 ? "" : ` ${minutes % 60} min`}`;
  return `${Math.floor(hours / 24)} d`;
}

/** How long ago something was, in its largest unit. */
export function age(ms: number): string {
  return span(ms).replace(/^(\d+ (?:h|min|d)) .*$/, "$1");
}

/** A rate in calls a second. */
export function rate(perSecond: number): string {
  return `${perSecond >= 10 ? Math.round(perSecond) : perSecond.toFixed(1)}/s`;
}

/**
 * Calls a second and milliseconds left, out of two looks at a batch.
 *
 * @returns undefined for what can't be told yet
 */
export function pace(
  before: { atMs: number; done: number } | undefined,
  now: { atMs: number; done: number; total: number },
): { perSecond: number | undefined; leftMs: number | undefined } {
  const passedMs = before === undefined ? 0 : now.atMs - before.atMs;
  const done = before === undefined ? 0 : now.done - before.done;
  if (passedMs < 500 || done <= 0) return { perSecond: undefined, leftMs: undefined };
  const perSecond = (1000 * done) / passedMs;
  return { perSecond, leftMs: (1000 * (now.total - now.done)) / perSecond };
}
