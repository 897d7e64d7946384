import { expect, test } from "vitest";
import { rowOf } from "../../src/dashboard/page/csv-row.ts";
import { age, pace, span } from "../../src/dashboard/page/format.ts";

test.each([
  [0, "0 ms"],
  [850, "850 ms"],
  [1_500, "1.5 s"],
  [42_000, "42 s"],
  [192_000, "3 min 12 s"],
  [3_900_000, "1 h 5 min"],
  [3 * 86_400_000, "3 d"],
])("%d ms is %s", (ms, text) => {
  expect(span(ms)).toBe(text);
});

test("an age has one unit", () => {
  expect(age(3_900_000)).toBe("1 h");
});

test("pace and time left come from two looks, once something was done between them", () => {
  const before = { atMs: 0, done: 10 };
  expect(pace(before, { atMs: 2_000, done: 30, total: 100 })).toEqual({
    perSecond: 10,
    leftMs: 7_000,
  });
  expect(pace(before, { atMs: 2_000, done: 10, total: 100 }).perSecond).toBeUndefined();
  expect(pace(undefined, { atMs: 2_000, done: 30, total: 100 }).leftMs).toBeUndefined();
});

test("a row of CSV holds the answer, or why there is none, and computes nothing", () => {
  const line = (custom_id: string, content: string) =>
    JSON.stringify({
      custom_id,
      response: { status_code: 200, body: { choices: [{ message: { content } }] } },
      error: null,
    });
  const chat = "/v1/chat/completions";
  expect(rowOf(line("a", '=1+1,"x"'), chat)).toBe('a,succeeded,"\'=1+1,""x""",\r\n');
  const failed = JSON.stringify({ custom_id: "b", response: null, error: { message: "gone" } });
  expect(rowOf(failed, chat)).toBe("b,failed,,gone\r\n");
});
