import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  classifyAnswer,
  classifyUnanswered,
  errorMessage,
  refusesKey,
  type Verdict,
  worthRetrying,
} from "../../src/core/outcome.ts";

const NOW_MS = Date.UTC(2026, 10, 22);
const STATUSES = Array.from({ length: 500 }, (_, index) => 100 + index);

function classify(status: number, headers: Record<string, string> = {}, json: unknown = {}) {
  return classifyAnswer({ status, headers: new Headers(headers), json }, NOW_MS);
}

/** WIRE.md, section 4, written as a list. */
function kindOf(status: number): Verdict["kind"] {
  if (status >= 200 && status <= 299) return "succeeded";
  if (status === 429) return "throttled";
  return [408, 409].includes(status) || status >= 500 ? "retry" : "failed";
}

describe("an answer about the key", () => {
  test("is 401, whatever it says", () => {
    for (const body of ["{}", '"Unauthorized"', "<html>"]) expect(refusesKey(401, body)).toBe(true);
  });

  test.each([
    ["Anthropic's", { type: "error", error: { type: "permission_error", message: "no" } }],
    ["Google's", { error: { code: 403, status: "PERMISSION_DENIED", message: "no" } }],
    ["one like OpenAI's", { error: { type: "x", code: "invalid_api_key" } }],
  ])("is a 403 that says so, as %s", (_whose, body) => {
    expect(refusesKey(403, JSON.stringify(body))).toBe(true);
    expect(refusesKey(400, JSON.stringify(body))).toBe(false);
  });

  test.each(["{}", '"no"', "<html>", "null", '{"error":{"type":"content_policy"}}'])(
    "is no 403 that says %s",
    (body) => expect(refusesKey(403, body)).toBe(false),
  );
});

describe("classifyAnswer", () => {
  test.each(STATUSES)("decides status %i as both official SDKs do", (status) => {
    expect(classify(status).kind).toBe(kindOf(status));
  });

  test("fails what x-should-retry says not to retry, whatever the status", () => {
    for (const status of STATUSES.filter((status) => kindOf(status) !== "succeeded")) {
      expect(classify(status, { "x-should-retry": "false" })).toEqual({ kind: "failed" });
    }
  });

  test("retries what x-should-retry says to retry, whatever the status", () => {
    for (const status of STATUSES.filter((status) => kindOf(status) !== "succeeded")) {
      const kind = status === 429 ? "throttled" : "retry";
      expect(classify(status, { "x-should-retry": "true" }).kind).toBe(kind);
    }
  });

  test("does not ask x-should-retry about a success", () => {
    expect(classify(200, { "x-should-retry": "true" })).toEqual({ kind: "succeeded" });
    expect(classify(200, { "x-should-retry": "false" })).toEqual({ kind: "succeeded" });
  });

  test("goes by the status when x-should-retry is nonsense", () => {
    expect(classify(503, { "x-should-retry": "no" }).kind).toBe("retry");
    expect(classify(400, { "x-should-retry": "yes" }).kind).toBe("failed");
  });

  test("retries a 2xx that is not JSON", () => {
    for (const status of [200, 201, 204]) {
      expect(classifyAnswer({ status, headers: new Headers(), json: undefined }, NOW_MS)).toEqual({
        kind: "retry",
      });
    }
  });

  test("takes any JSON of a 2xx as an answer", () => {
    for (const json of [null, false, 0, "", [], {}, { error: { type: "insufficient_quota" } }]) {
      expect(classify(200, {}, json)).toEqual({ kind: "succeeded" });
    }
  });

  test("decides an error by its status when its body is not JSON", () => {
    for (const status of [400, 429, 500]) {
      const answer = { status, headers: new Headers(), json: undefined };
      expect(classifyAnswer(answer, NOW_MS).kind).toBe(kindOf(status));
    }
  });

  test("passes on how long the upstream says to wait, for a retry and a throttle", () => {
    expect(classify(503, { "retry-after": "7" })).toEqual({ kind: "retry", afterMs: 7000 });
    expect(classify(429, { "retry-after-ms": "250", "retry-after": "7" })).toEqual({
      kind: "throttled",
      afterMs: 250,
    });
    const at = new Date(NOW_MS + 5000).toUTCString();
    expect(classify(529, { "retry-after": at })).toEqual({ kind: "retry", afterMs: 5000 });
    expect(classify(400, { "retry-after": "7", "x-should-retry": "true" })).toEqual({
      kind: "retry",
      afterMs: 7000,
    });
  });

  test("knows no wait when the upstream says none", () => {
    expect(classify(429)).toEqual({ kind: "throttled", afterMs: undefined });
    expect(classify(500)).toEqual({ kind: "retry", afterMs: undefined });
  });
});

describe("a 429 about money", () => {
  const words = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_usage_limit_exceeded",
    "project_spend_limit_exceeded",
    "workspace_spend_limit_exceeded",
  ];

  test.each(words)("is final when type or code is %s", (word) => {
    for (const error of [{ type: word }, { code: word }, { type: "requests", code: word }]) {
      expect(classify(429, { "retry-after": "1" }, { error })).toEqual({ kind: "failed" });
    }
  });

  test.each(["enforced_spend_limit_reached", "contract_spend_limit_reached"])(
    "is final when Anthropic's error_code is %s",
    (error_code) => {
      const error = { type: "rate_limit_error", message: "No.", details: { error_code } };
      expect(classify(429, {}, { type: "error", error })).toEqual({ kind: "failed" });
    },
  );

  test("is told from Anthropic's other 429s", () => {
    const error = { type: "rate_limit_error", details: { error_code: "ramp_limit_exceeded" } };
    expect(classify(429, { "retry-after": "2" }, { type: "error", error })).toEqual({
      kind: "throttled",
      afterMs: 2000,
    });
  });

  test("is final even when x-should-retry says to retry", () => {
    const json = { error: { code: "insufficient_quota" } };
    expect(classify(429, { "x-should-retry": "true" }, json)).toEqual({ kind: "failed" });
  });

  test("is told by the whole word, in type and code only", () => {
    for (const json of [
      { error: { type: "not_insufficient_quota" } },
      { error: { code: "insufficient_quota_soon" } },
      { error: { code: "spend_limit_exceeded" } },
      { error: { message: "insufficient_quota" } },
      { error: { code: ["insufficient_quota"] } },
      { error: "insufficient_quota" },
      { code: "insufficient_quota" },
      null,
      [],
      "insufficient_quota",
    ]) {
      expect(classify(429, {}, json).kind).toBe("throttled");
    }
  });

  test("decides nothing for another status", () => {
    expect(classify(500, {}, { error: { code: "insufficient_quota" } }).kind).toBe("retry");
  });
});

describe("classifyUnanswered", () => {
  test("retries a call that broke off, and fails one whose answer is too large", () => {
    for (const code of [
      "timeout",
      "connection_error",
      "truncated_response",
      "invalid_response",
    ] as const) {
      expect(classifyUnanswered(code)).toEqual({ kind: "retry" });
    }
    expect(classifyUnanswered("response_too_large")).toEqual({ kind: "failed" });
  });
});

describe("worthRetrying", () => {
  test("is true for what ran out of attempts, and false for a final answer", () => {
    expect(worthRetrying("retry")).toBe(true);
    expect(worthRetrying("throttled")).toBe(true);
    expect(worthRetrying("failed")).toBe(false);
  });
});

describe("a retry-after that is a date", () => {
  test("is told by the upstream's own clock when it says what that is", () => {
    const hourOff = NOW_MS - 3_600_000;
    const headers = new Headers({
      date: new Date(hourOff).toUTCString(),
      "retry-after": new Date(hourOff + 7_000).toUTCString(),
    });
    const verdict = classifyAnswer({ status: 429, headers, json: {} }, NOW_MS);
    expect(verdict).toEqual({ kind: "throttled", afterMs: 7_000 });
  });
});

describe("errorMessage", () => {
  test.each([
    [{ error: { message: "too long" } }, "too long"],
    [{ type: "error", error: { type: "overloaded_error", message: "busy" } }, "busy"],
    [{ error: "no such model" }, "no such model"],
    [{ message: "forbidden" }, "forbidden"],
    [{ error: { message: "inner" }, message: "outer" }, "inner"],
    [{ error: "inner", message: "outer" }, "inner"],
    [{ error: { code: 5 }, message: "outer" }, "outer"],
    [{ error: { message: "" }, message: "outer" }, "outer"],
    [{ error: { message: null }, message: "outer" }, "outer"],
    [{ error: "", message: "outer" }, "outer"],
    [{ error: null, message: "outer" }, "outer"],
  ])("of %j is %s", (body, message) => {
    expect(errorMessage(body)).toBe(message);
  });

  test.each([
    [undefined],
    [null],
    ["text"],
    [5],
    [[]],
    [{}],
    [{ error: {} }],
    [{ error: { message: { text: "deep" } } }],
    [{ message: "" }],
    [{ message: 5 }],
    [{ detail: "other" }],
  ])("of %j is none", (body) => {
    expect(errorMessage(body)).toBeUndefined();
  });
});

describe("any answer at all", () => {
  const word = fc.oneof(fc.string(), fc.constantFrom("true", "false", "1", "insufficient_quota"));
  const answers = fc.record({
    status: fc.integer({ min: 100, max: 599 }),
    shouldRetry: fc.option(fc.constantFrom("true", "false"), { nil: undefined }),
    retryAfter: fc.option(fc.nat({ max: 1e6 }), { nil: undefined }),
    json: fc.oneof(
      fc.constant(undefined),
      fc.jsonValue(),
      fc.record({ error: fc.record({ type: word, code: word }) }),
    ),
  });

  test("has one verdict, by the rules of the official clients", () => {
    fc.assert(
      fc.property(answers, ({ status, shouldRetry, retryAfter, json }) => {
        const headers = new Headers();
        if (shouldRetry !== undefined) headers.set("x-should-retry", shouldRetry);
        if (retryAfter !== undefined) headers.set("retry-after", String(retryAfter));
        const verdict = classifyAnswer({ status, headers, json }, NOW_MS);
        if (status >= 200 && status < 300) {
          expect(verdict.kind).toBe(json === undefined ? "retry" : "succeeded");
          return;
        }
        expect(verdict.kind).not.toBe("succeeded");
        if (shouldRetry === "false") expect(verdict.kind).toBe("failed");
        if (status === 429) expect(["throttled", "failed"]).toContain(verdict.kind);
        else if (shouldRetry === "true") expect(verdict.kind).toBe("retry");
        if ("afterMs" in verdict) {
          expect(verdict.afterMs).toBe(retryAfter === undefined ? undefined : retryAfter * 1000);
        }
      }),
    );
  });
});
