import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectDir } from "../../src/cli/workspace.ts";

const readme = readFileSync(join(projectDir, "README.md"), "utf8");
const section = /\n## Security\n(.*?)\n## /s.exec(readme)?.[1] ?? "";
const [, , ...rows] = section.match(/^\|.*\|$/gm) ?? [];
const table = rows.map((row) => row.slice(2, -2).split(" | "));

/** Where a test that is named without its ending may be. */
const placesOf = (name: string) =>
  [".test.ts", ".worker.test.ts"].map((ending) => join(projectDir, name + ending));

test("README's Security has rows of what, against what, and shown by", () => {
  expect(rows.length).toBeGreaterThan(10);
  expect(table.filter((cells) => cells.length !== 3 || cells.includes(""))).toEqual([]);
});

test.each(table)("what shows that this is protected is there: %s", (_, __, shown = "") => {
  const named = [...shown.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
  const tests = named.filter((name) => name.startsWith("test/"));
  expect(tests.length).toBeGreaterThan(0);
  const places = tests.flatMap((name) => {
    const found = placesOf(name).filter((place) => existsSync(place) && statSync(place).size > 0);
    return found.length > 0 ? found : expect.fail(`there is no ${name}`);
  });
  const text = places.map((place) => readFileSync(place, "utf8")).join("\n");
  const settings = named.flatMap((name) => /^MUSTER_[A-Z_]+/.exec(name)?.[0] ?? []);
  const how = text + readFileSync(join(projectDir, "test/support/worker-setup.ts"), "utf8");
  for (const setting of settings) expect(how).toContain(setting);
});
