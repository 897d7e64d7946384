import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryDir } from "./support.ts";

function sumUp(report: unknown): { last: string | undefined; status: number | null } {
  const file = join(temporaryDir(), "report.json");
  if (report !== undefined) writeFileSync(file, JSON.stringify(report));
  const script = join(import.meta.dirname, "../../.ci/summary.mjs");
  const { stdout, status } = spawnSync(process.execPath, [script, file], { encoding: "utf8" });
  return { last: stdout.trim().split("\n").at(-1), status };
}

const suite = (status: string, ...results: string[]) => ({
  name: "a.test.ts",
  status,
  assertionResults: results.map((result) => ({ status: result })),
});

test.each([
  [
    "all well",
    {
      success: true,
      numPassedTests: 3,
      numFailedTests: 0,
      testResults: [suite("passed", "passed")],
    },
    "3 passed, 0 failed",
    0,
  ],
  [
    "a failed test",
    {
      success: false,
      numPassedTests: 2,
      numFailedTests: 1,
      testResults: [suite("failed", "failed")],
    },
    "2 passed, 1 failed",
    1,
  ],
  [
    "a suite that did not load",
    { success: false, numPassedTests: 2, numFailedTests: 0, testResults: [suite("failed")] },
    "2 passed, 1 failed",
    1,
  ],
  [
    "an error outside of every test",
    { success: false, numPassedTests: 2, numFailedTests: 0, testResults: [] },
    "2 passed, 1 failed",
    1,
  ],
  [
    "nothing run",
    { success: true, numPassedTests: 0, numFailedTests: 0, testResults: [] },
    "0 passed, 0 failed",
    1,
  ],
  ["no report", undefined, "0 passed, 1 failed", 1],
])("%s", (_, report, last, status) => {
  expect(sumUp(report)).toEqual({ last, status });
});
