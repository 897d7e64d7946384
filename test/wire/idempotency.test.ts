import { describe, expect, it } from "vitest";
import { MAX_KEY_LENGTH, readIdempotencyKey } from "../../src/wire/idempotency.ts";

describe("an Idempotency-Key", () => {
  it.each([
    ["bare", "8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ["in quotes, as the draft has it", '"8e03978e"', "8e03978e"],
    ["with escapes inside its quotes", String.raw`"a\"b\\c"`, String.raw`a"b\c`],
    ["with a quote at one end only", '"abc', '"abc'],
    ["with spaces around it", "  abc ", "abc"],
    ["with spaces inside", "order 7", "order 7"],
    ["of the greatest length", "k".repeat(MAX_KEY_LENGTH), "k".repeat(MAX_KEY_LENGTH)],
  ])("%s is taken", (_, header, key) => {
    expect(readIdempotencyKey(header)).toEqual({ ok: true, value: key });
  });

  it.each([
    ["that is empty", ""],
    ["of spaces", "   "],
    ["of two quotes", '""'],
    ["that is too long", "k".repeat(MAX_KEY_LENGTH + 1)],
    ["with a tab", "a\tb"],
    ["that is not ASCII", "schlüssel"],
  ])("%s is refused, with what is taken", (_, header) => {
    expect(readIdempotencyKey(header)).toMatchObject({
      ok: false,
      problem: {
        code: "invalid_request",
        param: "Idempotency-Key",
        message: expect.stringContaining("1 to 255 printable ASCII characters"),
      },
    });
  });
});
