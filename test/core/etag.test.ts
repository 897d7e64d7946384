import { describe, expect, it } from "vitest";
import { etagOf, matches } from "../../src/core/etag.ts";

describe("an ETag", () => {
  it("is the same for the same text, and another for another", () => {
    expect(etagOf('{"a":1}')).toBe(etagOf('{"a":1}'));
    expect(etagOf('{"a":1}')).not.toBe(etagOf('{"a":2}'));
    expect(etagOf("")).toMatch(/^"[\w-]{22}"$/);
  });
});

describe("If-None-Match", () => {
  const etag = '"abc"';
  it.each(['"abc"', 'W/"abc"', '"x", "abc"', 'W/"x",W/"abc"', "*", " * "])(
    "%s matches",
    (header) => {
      expect(matches(header, etag)).toBe(true);
      expect(matches(header, `W/${etag}`)).toBe(true);
    },
  );

  it.each([undefined, "", '"ab"', "abc", '"x"', '"*"'])("%s does not match", (header) => {
    expect(matches(header, etag)).toBe(false);
  });
});
