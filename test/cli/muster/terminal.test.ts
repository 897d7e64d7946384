import { describe, expect, test } from "vitest";
import { age, clip, table, width } from "../../../src/cli/muster/terminal.ts";
import { csvCell } from "../../../src/core/csv-cell.ts";

describe("a table", () => {
  test("puts columns under each other, wide characters too, and numbers to the right", () => {
    expect(
      table(
        ["A", "N"],
        [
          ["空は", "5"],
          ["x", "12"],
        ],
      ),
    ).toBe("A      N\n空は   5\nx     12");
  });
});

describe("clip", () => {
  test("keeps what fits, and cuts between characters", () => {
    expect(clip("short", 10)).toBe("short");
    expect(clip("👩‍👩‍👧 family 👩‍👩‍👧", 5)).toBe("👩‍👩‍👧 f…");
    expect(width(clip("空はなぜ青い", 6))).toBeLessThanOrEqual(6);
  });

  test("makes control sequences harmless", () => {
    expect(clip("a\u001b[31mred\u0007\nb", 20)).toBe("a�[31mred� b");
    expect(clip("\u202Eevil", 20)).toBe("�evil");
  });
});

test.each([
  [0, "0 s"],
  [59_999, "59 s"],
  [60_000, "1 m"],
  [7_200_000, "2 h"],
  [3 * 86_400_000, "3 d"],
])("%d ms ago is %s", (ms, text) => {
  expect(age(ms)).toBe(text);
});

test.each([
  ["plain", "plain"],
  ['a "b", c', '"a ""b"", c"'],
  ["two\nlines", '"two\nlines"'],
  ["=1+1", "'=1+1"],
  ["@cmd", "'@cmd"],
  ["-2", "'-2"],
  ["", ""],
])("as a cell of CSV %j is %j", (text, written) => {
  expect(csvCell(text)).toBe(written);
});
