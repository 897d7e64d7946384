import { expect, test } from "vitest";
import type { Unanswered } from "../../src/core/outcome.ts";
import { signsOf } from "../../src/core/signs.ts";

const ALIVE = { alive: 1, broken: 0 };
const BROKEN = { alive: 0, broken: 1 };

test.each([
  [200, ALIVE],
  [301, ALIVE],
  [400, ALIVE],
  [401, ALIVE],
  [404, ALIVE],
  [408, ALIVE],
  [429, ALIVE],
  [500, BROKEN],
  [503, BROKEN],
  [529, BROKEN],
])("a call that was answered %i", (status, signs) => {
  expect(signsOf({ kind: "answered", status })).toEqual(signs);
});

test.each<[Unanswered, typeof ALIVE]>([
  ["connection_error", BROKEN],
  ["timeout", BROKEN],
  ["truncated_response", BROKEN],
  ["stream_error", BROKEN],
  ["invalid_response", ALIVE],
  ["response_too_large", ALIVE],
])("a call without an answer, for %s", (code, signs) => {
  expect(signsOf({ kind: "unanswered", code })).toEqual(signs);
});
