import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseRetryAfter, shouldRetryHeader } from "../../src/core/retry-after.ts";

const NOW_MS = Date.UTC(2026, 10, 22, 12, 0, 0);

function waitMs(headers: Record<string, string>): number | undefined {
  return parseRetryAfter(new Headers(headers), NOW_MS);
}

describe("parseRetryAfter", () => {
  test("takes retry-after-ms first", () => {
    expect(waitMs({ "retry-after-ms": "1500", "retry-after": "60" })).toBe(1500);
    expect(waitMs({ "retry-after-ms": "0", "retry-after": "60" })).toBe(0);
  });

  test("falls back to retry-after when retry-after-ms is nonsense", () => {
    for (const nonsense of ["", "soon", "-5", "NaN", "1s", "9".repeat(400)]) {
      expect(waitMs({ "retry-after-ms": nonsense, "retry-after": "2" })).toBe(2000);
    }
  });

  test("reads seconds, whole and fractional", () => {
    expect(waitMs({ "retry-after": "20" })).toBe(20_000);
    expect(waitMs({ "retry-after": "0.25" })).toBe(250);
    expect(waitMs({ "retry-after": " .5 " })).toBe(500);
    expect(waitMs({ "retry-after": "1.1" })).toBe(1100);
    expect(waitMs({ "retry-after": "0" })).toBe(0);
  });

  test("reads the three forms of an HTTP date, all as UTC", () => {
    for (const date of [
      "Sun, 22 Nov 2026 12:01:30 GMT",
      "Sunday, 22-Nov-26 12:01:30 GMT",
      "Sun Nov 22 12:01:30 2026",
    ]) {
      expect(waitMs({ "retry-after": date })).toBe(90_000);
    }
    expect(waitMs({ "retry-after": "Wed Dec  2 12:00:00 2026" })).toBe(10 * 86_400_000);
  });

  test("reads any second as the HTTP date that toUTCString writes", () => {
    const seconds = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) / 1000 });
    fc.assert(
      fc.property(seconds, seconds, (nowS, atS) => {
        const headers = new Headers({ "retry-after": new Date(atS * 1000).toUTCString() });
        expect(parseRetryAfter(headers, nowS * 1000)).toBe(Math.max(0, (atS - nowS) * 1000));
      }),
    );
  });

  test("waits not at all for a date in the past", () => {
    expect(waitMs({ "retry-after": "Sun, 06 Nov 1994 08:49:37 GMT" })).toBe(0);
    expect(waitMs({ "retry-after": "Sunday, 06-Nov-94 08:49:37 GMT" })).toBe(0);
  });

  test("leaves bounding a long wait to the caller", () => {
    expect(waitMs({ "retry-after": "86400000" })).toBe(86_400_000_000);
  });

  test("is undefined for nonsense, negative numbers and impossible dates", () => {
    for (const nonsense of [
      "",
      ".",
      "soon",
      "-5",
      "+5",
      "1e3",
      "NaN",
      "Infinity",
      "9".repeat(400),
      "10 s",
      "2026-11-22T12:01:30Z",
      "Sun, 22 Nov 2026 12:01:30",
      "Sun, 22 Nov 2026 24:01:30 GMT",
      "Sun, 31 Feb 2026 12:01:30 GMT",
      "Sun, 00 Nov 2026 12:01:30 GMT",
      "Sun, 22 Foo 2026 12:01:30 GMT",
    ]) {
      expect(waitMs({ "retry-after": nonsense })).toBeUndefined();
    }
    expect(waitMs({})).toBeUndefined();
  });

  test("never gives a negative or non-finite wait", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (ms, seconds) => {
        const values: Record<string, string> = { "retry-after-ms": ms, "retry-after": seconds };
        const wait = parseRetryAfter({ get: (name) => values[name] ?? null }, NOW_MS);
        expect(wait === undefined || (Number.isFinite(wait) && wait >= 0)).toBe(true);
      }),
    );
  });
});

describe("shouldRetryHeader", () => {
  test("says what x-should-retry says, and nothing when it says something else", () => {
    expect(shouldRetryHeader(new Headers({ "x-should-retry": "true" }))).toBe(true);
    expect(shouldRetryHeader(new Headers({ "x-should-retry": "false" }))).toBe(false);
    expect(shouldRetryHeader(new Headers({ "x-should-retry": "maybe" }))).toBeUndefined();
    expect(shouldRetryHeader(new Headers())).toBeUndefined();
  });
});
