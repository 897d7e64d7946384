import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { quoted } from "../../src/core/quoted.ts";

describe("quoted", () => {
  test("repeats what has up to 100 characters, and cuts what has more", () => {
    expect(quoted("")).toBe("");
    expect(quoted("x".repeat(100))).toBe("x".repeat(100));
    expect(quoted("x".repeat(101))).toBe(`${"x".repeat(100)}…`);
  });

  test("leaves out an emoji that would be halved", () => {
    expect(quoted(`${"x".repeat(99)}😀y`)).toBe(`${"x".repeat(99)}…`);
    expect(quoted(`${"x".repeat(98)}😀y`)).toBe(`${"x".repeat(98)}😀…`);
  });

  test("is the beginning of a text, and text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 90, maxLength: 120 }), (text) => {
        const cut = quoted(text);
        expect(cut.isWellFormed()).toBe(true);
        expect(cut.length).toBeLessThanOrEqual(101);
        expect(text.startsWith(cut.replace(/…$/u, "")) || text === cut).toBe(true);
      }),
    );
  });
});
