import { expect, test } from "vitest";
import { sourceOf } from "../../src/dashboard/page/source.ts";

test("a dropped file is read as UTF-8, with or without a byte order mark", () => {
  const bytes = new TextEncoder().encode("\uFEFF空\n");
  expect(sourceOf("a.csv", bytes)).toEqual({ name: "a.csv", text: "空\n" });
});

test("a dropped file in another encoding is broken at its line, and nothing of it is used", () => {
  const bytes = Uint8Array.from([0x61, 0x0a, 0x93, 0xfa, 0x96, 0x7b]);
  const broken = { line: 2, message: "Is not UTF-8; save it as UTF-8." };
  expect(sourceOf("sjis.csv", bytes)).toEqual({ name: "sjis.csv", text: "", broken });
});

test("a dropped file with NUL bytes is no text", () => {
  const bytes = new TextEncoder().encode("a\nb\0");
  const broken = { line: 2, message: "Holds NUL bytes, so it is no text." };
  expect(sourceOf("a.txt", bytes)).toEqual({ name: "a.txt", text: "", broken });
});
