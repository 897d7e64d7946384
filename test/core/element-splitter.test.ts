import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Element, ElementSplitter } from "../../src/core/element-splitter.ts";

const encoder = new TextEncoder();

/** What a text in pieces of so many bytes comes to. */
function split(text: string | Uint8Array, pieceBytes = 7, maxElementBytes = 10_000) {
  const bytes = typeof text === "string" ? encoder.encode(text) : text;
  const splitter = new ElementSplitter({
    member: "requests",
    maxElementBytes,
    maxRestBytes: 10_000,
  });
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    // One buffer for all pieces, as a reader may do it: nothing may be kept of it.
    const piece = bytes.slice(at, at + pieceBytes);
    elements.push(...splitter.push(piece));
    piece.fill(0);
  }
  return { elements, rest: splitter.rest(), arrays: splitter.arrays };
}

const texts = (elements: readonly Element[]) =>
  elements.map((element) => ("text" in element ? element.text : element.problem));

/** Space between any two tokens, and members around the array, in any order. */
const bodies = fc
  .record({
    elements: fc.array(fc.jsonValue()),
    before: fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }),
    after: fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }),
    indent: fc.constantFrom(0, 1, "\t"),
  })
  .filter(({ before, after }) => !("requests" in before) && !("requests" in after));

describe("the elements", () => {
  test("of any body are those that JSON.parse finds, wherever it was cut", () => {
    fc.assert(
      fc.property(bodies, fc.integer({ min: 1, max: 40 }), (body, pieceBytes) => {
        const value = { ...body.before, requests: body.elements, ...body.after };
        const { elements, rest, arrays } = split(
          JSON.stringify(value, null, body.indent),
          pieceBytes,
        );
        expect(texts(elements).map((text) => JSON.parse(text))).toEqual(
          JSON.parse(JSON.stringify(body.elements)),
        );
        expect(JSON.parse(rest ?? "")).toEqual(
          JSON.parse(JSON.stringify({ ...value, requests: [] })),
        );
        expect(arrays).toBe(1);
      }),
    );
  });

  test("keep their bytes", () => {
    const text = '{"requests":[ {"n":12345678901234567890, "s":"\\u3042\\"]"} ,1.10]}';
    expect(texts(split(text, 3).elements)).toEqual([
      ' {"n":12345678901234567890, "s":"\\u3042\\"]"} ',
      "1.10",
    ]);
  });

  test("come from the member, whose name may be escaped, and from no other array", () => {
    const text =
      '{"a":[1],"b":{"requests":[2]},"c":"requests","r\\u0065quests":[3],"d":[{"requests":[4]}]}';
    expect(texts(split(text).elements)).toEqual(["3"]);
    expect(texts(split('[{"requests":[1]}]').elements)).toEqual([]);
    expect(texts(split('{"requests":{"requests":[1]}}').elements)).toEqual([]);
    expect(texts(split('{"x":"requests"  ,"y":[1]}').elements)).toEqual([]);
  });

  test("of an empty array are none", () => {
    for (const text of ['{"requests":[]}', '{"requests":[ \n ]}']) {
      expect(split(text)).toMatchObject({ elements: [], arrays: 1 });
    }
  });

  test("that are too long, or no UTF-8, are told in their place", () => {
    const long = `"${"x".repeat(100)}"`;
    expect(texts(split(`{"requests":[1,${long},2]}`, 5, 50).elements)).toEqual([
      "1",
      "too_long",
      "2",
    ]);
    const [head = "", tail = ""] = ['{"requests":["', '",2]}'];
    const broken = Uint8Array.from([...encoder.encode(head), 0xff, ...encoder.encode(tail)]);
    expect(texts(split(broken).elements)).toEqual(["invalid_utf8", "2"]);
  });
});

describe("a body that is no JSON", () => {
  test.each([
    ['{"requests":[1', "ends inside the array"],
    ['{"requests":[1}', "closes the array with a brace"],
    ['{"requests":[1]', "never ends"],
    ['{"requests":[1]]', "closes the object with a bracket"],
    ['{"requests":[1]} x', "goes on after its end"],
    ['{"requests" [1]}', "has no colon"],
    ["nothing", "is none at all"],
  ])("%s, as it %s, has no rest that is one", (text) => {
    expect(() => JSON.parse(split(text).rest ?? "")).toThrow();
  });

  test.each([
    ['{"requests":[1,]}', ["1", ""]],
    ['{"requests":[,1]}', ["", "1"]],
    ['{"requests":[1 2]}', ["1 2"]],
    ['{"requests":[{]}', ["{]"]],
  ])("%s shows it in its elements or its rest", (text, elements) => {
    const found = split(text);
    expect(texts(found.elements)).toEqual(elements);
    const parts = [...texts(found.elements), found.rest ?? ""];
    expect(() => parts.map((part) => JSON.parse(part))).toThrow();
  });

  test("of any text never has the member's elements and a sound rest both", () => {
    const token = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"requests"',
      '"a"',
      "1",
      " ",
      "\\",
      '"',
    );
    fc.assert(
      fc.property(fc.array(token, { maxLength: 14 }), (tokens) => {
        const text = tokens.join("");
        const { elements, rest = "", arrays } = split(text, 4);
        let value: unknown;
        try {
          value = JSON.parse(text);
        } catch {
          const parts = [...texts(elements), rest];
          expect(() => parts.map((part) => JSON.parse(part))).toThrow();
          return;
        }
        if (arrays === 1 && typeof value === "object" && value !== null && "requests" in value) {
          expect(texts(elements).map((part) => JSON.parse(part))).toEqual(value.requests);
        }
      }),
      { numRuns: 5_000 },
    );
  });
});

test("a rest that is too long is not kept", () => {
  expect(split(`{"a":"${"x".repeat(20_000)}","requests":[1]}`).rest).toBeUndefined();
});

test("a member that comes twice is counted", () => {
  expect(split('{"requests":[1],"requests":[2]}').arrays).toBe(2);
});
