/**
 * `node .ci/summary.mjs REPORT`: reads vitest's JSON report and prints "N passed, N failed" as the
 * last line. A suite that failed without a failed test in it did not load, and counts as one. Exits
 * with 1 when anything failed, or nothing was run or reported.
 */

import { readFileSync } from "node:fs";

/** @param {string} file */
function count(file) {
  const report = JSON.parse(readFileSync(file, "utf8"));
  const broken = report.testResults.filter(
    (suite) =>
      suite.status === "failed" &&
      !suite.assertionResults.some((result) => result.status === "failed"),
  );
  for (const suite of broken) console.log(`Did not load: ${suite.name}`);
  const passed = report.numPassedTests;
  let failed = report.numFailedTests + broken.length;
  // Such as an error outside of every test.
  if (report.success !== true && failed === 0) failed = 1;
  return { passed, failed };
}

let counts;
try {
  counts = count(process.argv[2] ?? "");
} catch (error) {
  console.log(`The tests left no report: ${error instanceof Error ? error.message : error}`);
  counts = { passed: 0, failed: 1 };
}
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
