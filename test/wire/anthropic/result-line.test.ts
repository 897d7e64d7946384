import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { resultLine, resultLineOf } from "../../../src/wire/anthropic/result-line.ts";

/** An output line with a response, its body as text. */
const answered = (body: string, status = 200, requestId = "req_1", customId = "a") =>
  `{"id":"batch_req_0_0","custom_id":${JSON.stringify(customId)},"response":{"status_code":${status},"request_id":${JSON.stringify(requestId)},"body":${body}},"error":null}`;
const closed = (code: string, message = "Why.") =>
  `{"id":"batch_req_0_0","custom_id":"a","response":null,"error":${JSON.stringify({ code, message })}}`;

const failure = (line: string) => resultLine.parse(JSON.parse(resultLineOf(line, false))).result;
const errorOf = (line: string) => {
  const result = failure(line);
  return result.type === "errored" ? result.error : expect.fail(`it is ${result.type}`);
};

describe("a success", () => {
  test("has the upstream's message, byte for byte", () => {
    const message =
      '{"id":"msg_1", "type":"message","n":12345678901234567890,"d":1.10,"body":{"custom_id":"x"}}';
    expect(resultLineOf(answered(message, 200, "r", "空 🐑"), true)).toBe(
      `{"custom_id":"空 🐑","result":{"type":"succeeded","message":${message}}}`,
    );
  });

  test("has any message and any custom_id", () => {
    fc.assert(
      fc.property(fc.json(), fc.string({ unit: "grapheme" }), (message, customId) => {
        const line = resultLineOf(answered(message, 200, "r", customId), true);
        expect(JSON.parse(line)).toEqual({
          custom_id: customId,
          result: { type: "succeeded", message: JSON.parse(message) },
        });
      }),
    );
  });
});

describe("a failure", () => {
  test("has the upstream's error as it came", () => {
    const error = {
      type: "error",
      error: { type: "new_error", message: "No.", details: { error_code: "some_code" } },
      request_id: "req_theirs",
    };
    expect(errorOf(answered(JSON.stringify(error), 400))).toEqual(error);
  });

  test("has the answer's request id when the error has none of its own", () => {
    const error = { type: "error", error: { type: "overloaded_error", message: "Overloaded" } };
    const text = JSON.stringify(error);
    expect(errorOf(answered(text, 529))).toEqual({ ...error, request_id: "req_1" });
    expect(errorOf(answered(text, 529, ""))).toEqual({ ...error, request_id: null });
  });

  test.each([
    [400, "invalid_request_error"],
    [401, "authentication_error"],
    [402, "billing_error"],
    [403, "permission_error"],
    [404, "not_found_error"],
    [413, "request_too_large"],
    [422, "invalid_request_error"],
    [429, "rate_limit_error"],
    [500, "api_error"],
    [503, "api_error"],
    [504, "timeout_error"],
    [529, "overloaded_error"],
  ])("of another shape and status %i is a %s", (status, type) => {
    const theirs = JSON.stringify({ error: { message: "No.", type: "x", param: null } });
    expect(errorOf(answered(theirs, status)).error).toEqual({ type, message: "No." });
    const page = JSON.stringify("<html>");
    expect(errorOf(answered(page, status)).error).toEqual({
      type,
      message: `The upstream answered ${status}.`,
    });
  });

  test.each([
    ["timeout", "timeout_error"],
    ["connection_error", "api_error"],
    ["upstream_unauthorized", "authentication_error"],
    ["response_too_large", "api_error"],
  ])("without an answer, %s, is a %s that tells its code", (code, type) => {
    expect(errorOf(closed(code))).toEqual({
      type: "error",
      error: { type, message: "Why.", details: { error_code: code } },
      request_id: null,
    });
  });

  test("by cancel and by the window's end is no error", () => {
    expect(failure(closed("batch_cancelled"))).toEqual({ type: "canceled" });
    expect(failure(closed("batch_expired"))).toEqual({ type: "expired" });
  });

  test("with the code of a cancel in the upstream's own error stays an error", () => {
    const theirs = JSON.stringify({ error: { code: "batch_expired", message: "No." } });
    expect(errorOf(answered(theirs, 400)).error.type).toBe("invalid_request_error");
  });
});
