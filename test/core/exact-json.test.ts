import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isRecord, parseExactly } from "../../src/core/exact-json.ts";

describe("parseExactly", () => {
  test.each([
    "12345678901234567890",
    "0.1000000000000000055511151231257827",
    "-1.00000000000000000000",
    "1234567890123456789e12",
  ])("prints %s as it was written", (number) => {
    const text = `{"a":[${number}],"b":{"c":${number}}}`;
    expect(JSON.stringify(parseExactly(text))).toBe(text);
  });

  test("gives what JSON.parse gives of everything else", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(JSON.parse(JSON.stringify(parseExactly(text)))).toEqual(JSON.parse(text));
      }),
    );
    expect(parseExactly('{"a":1.5,"b":"12345678901234567890"}')).toEqual({
      a: 1.5,
      b: "12345678901234567890",
    });
  });

  test("throws on what is not JSON, with long numbers too", () => {
    expect(() => parseExactly("{")).toThrow(SyntaxError);
    expect(() => parseExactly("12345678901234567890,")).toThrow(SyntaxError);
  });
});

test("a number kept as it was written is no record", () => {
  expect(isRecord(parseExactly("12345678901234567890"))).toBe(false);
  expect([{}, [], null, "a", 1].map(isRecord)).toEqual([true, false, false, false, false]);
});
