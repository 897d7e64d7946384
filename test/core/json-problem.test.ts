import fc from "fast-check";
import { expect, test } from "vitest";
import { whyNotJson } from "../../src/core/json-problem.ts";

/** What is said of a text that is no JSON. */
function said(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return whyNotJson(error);
  }
}

test.each([
  ["secret words", "Unexpected token 's'"],
  ['{"a": secret words}', "Unexpected token 's'"],
  [`${" ".repeat(100)}{"a": "b" secret words ${"x".repeat(100)}`, "after property value in JSON"],
  ['{"prompts": ["secret words"', "in JSON at position 27"],
  ["", "Unexpected end of JSON input"],
  ['"secret\nwords" is not valid JSON', "Bad control character in string literal in JSON"],
  ["undefined", "it is no JSON value"],
])("says why %j is no JSON", (text, why) => {
  expect(said(text)).toContain(why);
  expect(said(text)).not.toContain("secret");
});

test("says where, and of a text on one line no more than that", () => {
  expect(said('{"a":{"b":1}')).toMatch(/ at position 12$/);
  expect(said('{"a":\n{"b":1}')).toMatch(/ at position 13 \(line 2 column 8\)$/);
});

test("repeats no more than one character of a text", () => {
  const word = fc.string({ unit: fc.constantFrom(..."abcdef"), minLength: 6, maxLength: 12 });
  const noise = fc.string({ unit: fc.constantFrom(...'{}[]",: \n1'), maxLength: 60 });
  fc.assert(
    fc.property(noise, word, noise, (before, secret, after) => {
      expect(said(`${before}${secret}${after}`) ?? "").not.toContain(secret);
    }),
  );
});
