import { expect, test } from "vitest";
import { PATIENT, run } from "./support.ts";

test("the demo asks, gathers, sums up and exits with 0", { timeout: PATIENT }, async () => {
  const demo = run("demo.ts", ["--count", "40"]);
  expect(await demo.exited, demo.stderr()).toBe(0);
  const said = demo.stdout();
  expect(said).toMatch(/total +40\nsuccess_count +40\nerror_count +0\n/);
  expect(said).toMatch(/ 40\/40 {2}40 succeeded {2}0 failed {2}\d+\/s/);
  expect(said).toMatch(/Q {2}電子機器.+\nA {2}digest:[0-9a-f]{16} /);
  expect(said).toMatch(/Wall time \d+\.\d s, \d+\.\d calls a second, [\d,]+ tokens/);
  expect(said).toMatch(/The simulator saw \d+ calls/);
  expect(said).toContain("All 40 questions have their outcome");
  expect(demo.stderr()).toBe("");
});

test.each(["0", "x", "20001"])("--count %s is one clear line", async (count) => {
  const demo = run("demo.ts", ["--count", count]);
  expect(await demo.exited).toBe(1);
  expect(demo.stderr()).toMatch(/^--count takes a whole number .+\n$/);
});
