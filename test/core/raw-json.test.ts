import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  arrayElements,
  objectMembers,
  oneLine,
  rawMember,
  setMember,
} from "../../src/core/raw-json.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Writes a value as JSON with the given white space between tokens, and strings escaped or not. */
function write(value: Json, nextSpace: () => string, escapeAll: boolean): string {
  const string = (text: string) =>
    escapeAll
      ? `"${Array.from({ length: text.length }, (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`).join("")}"`
      : JSON.stringify(text);
  const inner = (part: Json): string => {
    if (typeof part === "string") return string(part);
    if (part === null || typeof part !== "object") return JSON.stringify(part);
    const parts = Array.isArray(part)
      ? part.map(spaced)
      : Object.entries(part).map(
          ([key, member]) => `${nextSpace()}${string(key)}${nextSpace()}:${spaced(member)}`,
        );
    const body = parts.length > 0 ? parts.join(",") : nextSpace();
    return Array.isArray(part) ? `[${body}]` : `{${body}}`;
  };
  const spaced = (part: Json): string => `${nextSpace()}${inner(part)}${nextSpace()}`;
  return spaced(value);
}

const awkward = fc.constantFrom('"', "\\", '\\"', "{", "}", "[", "]", ",", ":", "\n", "\u2028");
const awkwardText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(awkward).map((parts) => parts.join("")),
);
// A lone backslash as a name is what V8 itself misreads; see support/bodies.ts.
const awkwardName = awkwardText.filter((text) => text !== "\\");
const json = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom<Json>(null, true, false, 0, -1.5e-9, {}, []),
    fc.double({ noDefaultInfinity: true, noNaN: true }),
    awkwardText,
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(fc.oneof(awkwardName, fc.constant("__proto__")), tie("value"), { maxKeys: 5 }),
  ),
})).value;

const jsonText = fc
  .record({
    value: json,
    spaces: fc.array(fc.constantFrom("", " ", "\t", "\n", "\r\n", "\r", "  \n "), { minLength: 1 }),
    escapeAll: fc.boolean(),
  })
  .map(({ value, spaces, escapeAll }) => {
    let turn = 0;
    return write(value, () => spaces[turn++ % spaces.length] ?? "", escapeAll);
  });

/** Reads a value by spans alone as far as they go, as `JSON.parse` would. */
function readBySpans(text: string): unknown {
  const parsed: unknown = JSON.parse(text);
  if (Array.isArray(parsed)) {
    return [...arrayElements(text)].map(({ start, end }) => readBySpans(text.slice(start, end)));
  }
  if (typeof parsed === "object" && parsed !== null) {
    return Object.fromEntries(
      [...objectMembers(text)].map(({ key, start, end }) => [
        key,
        readBySpans(text.slice(start, end)),
      ]),
    );
  }
  return parsed;
}

function cut(text: string, span: { start: number; end: number } | undefined): string | undefined {
  return span && text.slice(span.start, span.end);
}

describe("spans", () => {
  test("of any JSON with any white space give the value that JSON.parse gives", () => {
    fc.assert(
      fc.property(jsonText, (text) => {
        expect(readBySpans(text)).toEqual(JSON.parse(text));
      }),
      { numRuns: 500 },
    );
  });

  test("have no white space at their ends", () => {
    fc.assert(
      fc.property(jsonText, (text) => {
        for (const span of [...objectMembers(text), ...arrayElements(text)]) {
          expect(cut(text, span)).toBe(cut(text, span)?.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, ""));
        }
      }),
    );
  });

  test("are counted from the start of the text, not from where reading starts", () => {
    const text = '[{"a":1}, {"a":[2]}]';
    const [, second] = arrayElements(text);
    expect(cut(text, rawMember(text, "a", second?.start))).toBe("[2]");
  });

  test("of values that are not containers, and of empty ones, are none", () => {
    for (const text of ["null", "1", '"{}"', "[]", "{}", " [ ] ", " { } "]) {
      expect([...objectMembers(text), ...arrayElements(text)]).toEqual([]);
    }
  });

  test("end on text that is no JSON", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(awkward, fc.string())), (parts) => {
        const text = parts.join("");
        expect([...objectMembers(text)].length).toBeLessThanOrEqual(text.length);
        expect([...arrayElements(text)].length).toBeLessThanOrEqual(text.length);
      }),
    );
  });
});

describe("rawMember", () => {
  test("leaves numbers past 2^53, trailing zeros and inner white space as they are", () => {
    const body = '{ "id": 12345678901234567890, "t":1.0,\n "e":1E400 }';
    expect(cut(`{"body":${body}}`, rawMember(`{"body":${body}}`, "body"))).toBe(body);
  });

  test("takes the last of duplicate keys, as JSON.parse does", () => {
    const text = '{"a":1,"b":2,"a":{"c":3},"\\u0061":4}';
    expect(cut(text, rawMember(text, "a"))).toBe(String(JSON.parse(text).a));
  });

  test("finds keys written with escapes", () => {
    const text = '{"bo\\u0064y":1,"a\\"b\\\\":2}';
    expect(cut(text, rawMember(text, "body"))).toBe("1");
    expect(cut(text, rawMember(text, 'a"b\\'))).toBe("2");
  });

  test("is undefined for a missing key, a nested one and a value that is no object", () => {
    expect(rawMember('{"a":{"b":1}}', "b")).toBeUndefined();
    expect(rawMember('{"a":"\\"b\\":1"}', "b")).toBeUndefined();
    expect(rawMember('[{"b":1}]', "b")).toBeUndefined();
  });

  test("sees ends of strings behind any number of backslashes", () => {
    for (const backslashes of [0, 1, 2, 3, 1000, 1001]) {
      const text = JSON.stringify({
        a: "\\".repeat(backslashes),
        b: `${"\\".repeat(backslashes)}"`,
      });
      expect(cut(text, rawMember(text, "b"))).toBe(JSON.stringify(JSON.parse(text).b));
    }
  });

  test("stands nesting as deep as the text is long", () => {
    const deep = 1_000_000;
    const text = `{"a":${"[".repeat(deep)}${"]".repeat(deep)},"b":1}`;
    expect(cut(text, rawMember(text, "b"))).toBe("1");
    const objects = `{"a":${'{"a":'.repeat(deep)}1${"}".repeat(deep)},"b":1}`;
    expect(cut(objects, rawMember(objects, "b"))).toBe("1");
  });
});

describe("setMember", () => {
  test("sets a member as an assignment would, and changes no other", () => {
    const isObject = (text: string) => /^\s*\{/.test(text);
    const key = fc.oneof(awkwardText, fc.constantFrom("stream", "a", "__proto__"));
    fc.assert(
      fc.property(jsonText.filter(isObject), key, (text, name) => {
        const set = JSON.parse(setMember(text, name, '{"new":[1]}')) as Record<string, unknown>;
        const before = Object.entries(JSON.parse(text)).filter(([other]) => other !== name);
        expect(Object.entries(set).filter(([other]) => other !== name)).toEqual(before);
        expect(Object.getOwnPropertyDescriptor(set, name)?.value).toEqual({ new: [1] });
      }),
    );
  });

  test("leaves every byte besides as it was", () => {
    const rest = '"n": 12345678901234567890 ,\n"t":1.0, "t":2.50';
    expect(setMember(`{ ${rest} }`, "stream", "true")).toBe(`{"stream":true, ${rest} }`);
    expect(setMember(`{"stream" : false ,${rest}}`, "stream", "true")).toBe(
      `{"stream" : true ,${rest}}`,
    );
    expect(setMember(" { } ", "stream", "true")).toBe(' {"stream":true } ');
  });

  test("sets all members of that name, however they are written", () => {
    expect(setMember('{"a":1,"b":2,"\\u0061":[3]}', "a", "0")).toBe('{"a":0,"b":2,"\\u0061":0}');
  });
});

describe("oneLine", () => {
  test("has no CR or LF, no outer white space, and means the same", () => {
    fc.assert(
      fc.property(jsonText, (text) => {
        const line = oneLine(text);
        expect(line).not.toMatch(/[\r\n]/);
        expect(line).not.toMatch(/^\s|\s$/);
        expect(JSON.parse(line)).toEqual(JSON.parse(text));
      }),
    );
  });

  test("changes nothing else", () => {
    expect(oneLine(' {"n":\r\n 12345678901234567890,\t"s":"a\\nb\u2028"}\n')).toBe(
      '{"n": 12345678901234567890,\t"s":"a\\nb\u2028"}',
    );
  });
});
