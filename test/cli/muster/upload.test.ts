import { expect, test } from "vitest";
import { inInput } from "../../../src/cli/muster/upload.ts";

test("what is said of a line of the upload is said of the line it comes from", () => {
  const said = [
    { line: 2, message: "a" },
    { line: null, message: "b" },
  ];
  expect(inInput(said, [5, 8])).toEqual([
    { line: 8, message: "a" },
    { line: null, message: "b" },
  ]);
  expect(inInput(said, undefined)).toEqual(said);
});
