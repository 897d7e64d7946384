import { expect, test } from "vitest";
import { formatEnvFile, problemOfEnvValue } from "../../src/cli/env-file.ts";

// That wrangler reads these back as they were is in start.test.ts.
test.each([
  ["plain", "'plain'"],
  ["a#b", "'a#b'"],
  ["it's", "'it's'"],
  ["it's #1", "`it's #1`"],
  ["'`#", '"\'`#"'],
  ["$HOME", "'\\$HOME'"],
])("%s is written as %s", (value, written) => {
  expect(problemOfEnvValue(value)).toBeUndefined();
  expect(formatEnvFile({ NAME: value })).toBe(`NAME=${written}\n`);
});

test.each(["two\nlines", "all of '\"` and #", "'`# and \\n"])(
  "%j cannot be written, and is said to be so",
  (value) => expect(problemOfEnvValue(value)).toMatch(/text/),
);
