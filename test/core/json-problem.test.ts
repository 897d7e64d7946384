import fc from "fast-check";
import { expect, test } from "vitest";
import { whyNotJson } from "../../src/core/json-problem.ts";

/** What is said of a text that is no JSON. */
function said(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return whyNotJson(error, text);
  }
}

test.each([
  ["secret words", "Unexpected token 's' in JSON at position 0"],
  ['{"a": secret words}', "Unexpected token 's' in JSON at position 6"],
  ["[1, 2,]", "Unexpected token ']' in JSON at position 6"],
  ["[true, trux]", "Unexpected token 'x' in JSON at position 10"],
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

test("says where a token is that was not expected, in a text of many lines", () => {
  expect(said('{\n  "prompts": [\r\n    "a",\n  ]\n}')).toMatch(
    / at position 29 \(line 4 column 3\)$/,
  );
});

test("says where it is as the one character is that makes a right text wrong", () => {
  const value = fc.jsonValue().map((json) => JSON.stringify(json, null, 1));
  fc.assert(
    fc.property(value, fc.nat(), (text, pick) => {
      const at = pick % (text.length + 1);
      const wrong = `${text.slice(0, at)}§${text.slice(at)}`;
      const why = said(wrong);
      // Inside a string it is a character like any other.
      if (why === undefined) return;
      expect(why).toContain(` at position ${at}`);
    }),
    { numRuns: 1_000 },
  );
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
