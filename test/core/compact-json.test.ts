import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { compactJson } from "../../src/core/compact-json.ts";

describe("compactJson", () => {
  it("takes out white space between tokens, and none that is in a string", () => {
    expect(compactJson(' { "a b" : [ 1 ,\t2 ] ,\r\n"c" : " \\" d \\\\" } ')).toBe(
      '{"a b":[1,2],"c":" \\" d \\\\"}',
    );
  });

  it.each([
    ["numbers past 2^53", '{"n":9007199254740993}', '{"n":9007199254740992}'],
    ["numbers written in another way", '{"n":1.0}', '{"n":1}'],
    ["members in another order", '{"a":1,"b":2}', '{"b":2,"a":1}'],
    ["strings escaped in another way", '{"a":"\\u00e9"}', '{"a":"é"}'],
  ])("keeps apart %s", (_, one, other) => {
    expect(compactJson(one)).not.toBe(compactJson(other));
  });

  test("any value printed with any indentation compacts to the same text, which means the same", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.integer({ min: 0, max: 4 }), (value, indent) => {
        const compact = compactJson(JSON.stringify(value, null, indent));
        expect(compact).toBe(compactJson(JSON.stringify(value)));
        expect(JSON.parse(compact)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});
