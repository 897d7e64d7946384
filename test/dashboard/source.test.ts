import { expect, test } from "vitest";
import { sourceOf } from "../../src/dashboard/page/source.ts";

test("a dropped file is read as UTF-8, with or without a byte order mark", () => {
  const bytes = new TextEncoder().encode("\uFEFF空\n");
  expect(sourceOf("a.csv", bytes)).toEqual({ name: "a.csv", text: "空\n" });
});

test("a dropped file in another encoding is broken at its line, and nothing of it is used", () => {
  const bytes = Uint8Array.from([0x61, 0x0a, 0x93, 0xfa, 0x96, 0x7b]);
  expect(sourceOf("sjis.csv", bytes)).toEqual({ name: "sjis.csv", text: "", broken: 2 });
});
