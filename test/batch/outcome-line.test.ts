import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Report } from "../../src/batch/exchange.ts";
import { outcomeOf } from "../../src/batch/outcome-line.ts";
import type { Unanswered, Verdict } from "../../src/core/outcome.ts";
import { outputLine } from "../../src/wire/results.ts";

const BATCH = `batch_${"0a".repeat(16)}`;

function answered(
  body: string,
  status = 200,
  verdict: Verdict = { kind: "succeeded" },
  requestId = "req_1",
): Report {
  return {
    seq: 7,
    attempt: 1,
    tookMs: 5,
    verdict,
    result: { kind: "answered", status, requestId, body },
  };
}

function unanswered(
  code: Unanswered,
  message = "no answer",
  verdict: Verdict = { kind: "retry" },
): Report {
  return { seq: 7, attempt: 3, tookMs: 5, verdict, result: { kind: "unanswered", code, message } };
}

const line = (report: Report, customId = "a") => outcomeOf(report, BATCH, customId).line;

const hostile = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom('"},{"', "\\", "\n", "\r\n", "\u2028", "\0", "\ud800", "$&", "__proto__"),
);

describe("the output line", () => {
  test("of an answer has the upstream's status, request id and body", () => {
    expect(JSON.parse(line(answered('{"ok":true}')))).toEqual({
      id: `batch_req_${"0a".repeat(16)}_7`,
      custom_id: "a",
      response: { status_code: 200, request_id: "req_1", body: { ok: true } },
      error: null,
    });
  });

  test("of an HTTP error has the upstream's error body and no error of ours", () => {
    const report = answered('{"error":{"message":"bad"}}', 400, { kind: "failed" });
    expect(JSON.parse(line(report))).toMatchObject({
      response: { status_code: 400, body: { error: { message: "bad" } } },
      error: null,
    });
  });

  test("of a call without an answer has the code and no response", () => {
    expect(JSON.parse(line(unanswered("timeout", "no answer in 100 ms")))).toMatchObject({
      custom_id: "a",
      response: null,
      error: { code: "timeout", message: "no answer in 100 ms" },
    });
  });

  test.each([
    '{"id":12345678901234567890,"t":1.0,"e":1E400}',
    '{"b":1,"a":2,"1":3,"b":4}',
    '{ "s" : "\\u0061\\/ \u2028 $& $1" }',
    '"text"',
    "null",
    "[]",
  ])("has the upstream's body %s unchanged", (body) => {
    expect(line(answered(body))).toContain(`"body":${body}},"error":null}`);
  });

  test("is one line of JSON in its schema, whatever the ids and messages are", () => {
    fc.assert(
      fc.property(hostile, hostile, fc.boolean(), (customId, text, isAnswer) => {
        const report = isAnswer
          ? answered(JSON.stringify(text), 200, { kind: "succeeded" }, text)
          : unanswered("connection_error", text);
        const written = line(report, customId);
        expect(written).not.toMatch(/[\r\n]/);
        const parsed = outputLine.parse(JSON.parse(written));
        expect(parsed.custom_id).toBe(customId);
        expect(parsed.response?.request_id ?? parsed.error?.message).toBe(text);
      }),
    );
  });

  test("has the same id for every attempt of a task, and another for every task", () => {
    const idOf = (seq: number, attempt: number) =>
      JSON.parse(line({ ...answered("{}"), seq, attempt })).id;
    expect(idOf(1, 1)).toBe(idOf(1, 2));
    expect(new Set([1, 2, 12].map((seq) => idOf(seq, 1))).size).toBe(3);
  });
});

describe("a line that no row holds", () => {
  /** A JSON string of so many bytes in UTF-8, of characters of 1 or 3 bytes. */
  const bodyOf = (bytes: number, character: string) => {
    const width = Buffer.byteLength(character);
    const count = Math.floor((bytes - 2) / width);
    return JSON.stringify(character.repeat(count) + "-".repeat(bytes - 2 - width * count));
  };
  const bytesOf = (text: string) => Buffer.byteLength(text);

  test.each([
    ["Latin", "x"],
    ["Japanese", "語"],
  ])("of 2 MB of %s text becomes response_too_large, for good", (_, character) => {
    const kept = outcomeOf(answered(bodyOf(2_000_000, character)), BATCH, "a");
    expect(kept).toMatchObject({ ok: false, retry: false });
    expect(kept.line.length).toBeLessThan(1_000);
    const parsed = outputLine.parse(JSON.parse(kept.line));
    expect(parsed).toMatchObject({ custom_id: "a", response: null });
    expect(parsed.error?.code).toBe("response_too_large");
    expect(parsed.id).toBe(JSON.parse(line(answered("{}"))).id);
  });

  test("is told by its bytes and not by its characters", () => {
    // 700,000 characters either way.
    expect(outcomeOf(answered(bodyOf(700_000, "x")), BATCH, "a").ok).toBe(true);
    expect(outcomeOf(answered(bodyOf(2_100_000, "語")), BATCH, "a").ok).toBe(false);
    expect(outcomeOf(answered(bodyOf(1_900_000, "語")), BATCH, "a").ok).toBe(true);
  });

  test.each(["x", "語"])("counts all of the line, to the byte, of %s", (character) => {
    const around = bytesOf(line(answered("")));
    const fits = outcomeOf(answered(bodyOf(1_990_000 - around, character)), BATCH, "a");
    expect(fits.ok).toBe(true);
    expect(bytesOf(fits.line)).toBe(1_990_000);
    const over = outcomeOf(answered(bodyOf(1_990_001 - around, character)), BATCH, "a");
    expect(over).toMatchObject({ ok: false, retry: false });
  });

  test("counts a long custom_id and the request id too", () => {
    const body = bodyOf(1_989_000, "x");
    expect(outcomeOf(answered(body), BATCH, "a").ok).toBe(true);
    expect(outcomeOf(answered(body), BATCH, "語".repeat(512)).ok).toBe(false);
    const report = answered(body, 200, { kind: "succeeded" }, "r".repeat(1_000));
    expect(outcomeOf(report, BATCH, "a").ok).toBe(false);
  });

  test("of an error that could be sent again is not worth sending again", () => {
    const report = answered(bodyOf(2_000_000, "x"), 500, { kind: "retry" });
    expect(outcomeOf(report, BATCH, "a")).toMatchObject({ ok: false, retry: false });
  });
});

describe("the retry flag", () => {
  test.each<[string, Report, boolean]>([
    ["a success", answered("{}"), false],
    ["a final 400", answered("{}", 400, { kind: "failed" }), false],
    ["a final 401", answered("{}", 401, { kind: "failed" }), false],
    ["a 429 about money", answered("{}", 429, { kind: "failed" }), false],
    ["a 500 that ran out of attempts", answered("{}", 500, { kind: "retry" }), true],
    ["a 409 that ran out of attempts", answered("{}", 409, { kind: "retry" }), true],
    ["a 400 that x-should-retry wanted retried", answered("{}", 400, { kind: "retry" }), true],
    ["a timeout", unanswered("timeout"), true],
    ["a connection error", unanswered("connection_error"), true],
    ["a truncated answer", unanswered("truncated_response"), true],
    ["an answer that is not JSON", unanswered("invalid_response"), true],
    ["an answer too large", unanswered("response_too_large", "", { kind: "failed" }), false],
  ])("of %s", (_, report, retry) => {
    expect(outcomeOf(report, BATCH, "a").retry).toBe(retry);
  });
});
