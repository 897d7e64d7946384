import { expect, test } from "vitest";
import { beginsList, isList } from "../../src/core/json-list.ts";

test.each(["[", "[[", " [ {", '[{"prompt": "a"},', '["a",', '["a", "b"', "[1,", "[[1, 2],"])(
  "an array begins with %s",
  (line) => {
    expect(beginsList(line)).toBe(true);
  },
);

test.each([
  "[bad] question",
  "[1] Why?",
  '["a"] is a list?',
  "[a",
  "a",
  "",
  '{"a":[',
  "[]",
  '["a"]',
])("no array of several lines begins with %s", (line) => {
  expect(beginsList(line)).toBe(false);
});

test.each([
  ['["a"]', true],
  [' [\n{"a":1}\n]\n', true],
  ["[a]", false],
  ["[1]\n[2]", false],
  ['{"a":1}', false],
])("whether %j is an array: %s", (text, is) => {
  expect(isList(text)).toBe(is);
});
