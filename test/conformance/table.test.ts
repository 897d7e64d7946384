import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

/** That the tests which README.md names for each clause are there, under the titles it gives. */

const TESTS = new URL("../", import.meta.url);
const README = readFileSync(new URL("README.md", import.meta.url), "utf8");
const paths = readdirSync(TESTS, { recursive: true, encoding: "utf8" });

/** The test files of a name as the table has it: `openai-files`, `api/once`, `api/anthropic/*`. */
function filesOf(name: string): string[] {
  const stem = name.replace(/\*$/, "");
  return paths.filter((path) => {
    const [, base] = /^(.*?)(?:\.worker)?\.test\.ts$/.exec(path) ?? [];
    if (base === undefined) return false;
    return name === stem ? [stem, `conformance/${stem}`].includes(base) : base.startsWith(stem);
  });
}

/** What a file's tests are called: each by itself, and behind what stands before it. */
function titlesOf(path: string): string[] {
  const source = readFileSync(new URL(path, TESTS), "utf8");
  const calls = source.matchAll(/\(\s*"((?:[^"\\]|\\.)+)",\s*(?:async\s*)?\(/g);
  const titles = [...calls].map(([, title = ""]) => title.replaceAll('\\"', '"'));
  return titles.flatMap((title, at) => [
    title,
    ...titles.slice(0, at).map((before) => `${before} ${title}`),
  ]);
}

const namesIn = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);

/** What is wrong with the last cell of a row, where tests are in these files unless it says so. */
function faultsOf(cell: string, section: readonly string[]): string[] {
  const faults: string[] = [];
  let files = section;
  for (const part of cell.replace(/\([^)]+\)/g, "").split(";")) {
    const names = namesIn(part);
    for (const name of names) {
      const isThere = name.endsWith(".ts")
        ? existsSync(new URL(name, TESTS))
        : filesOf(name).length > 0;
      if (!isThere) faults.push(`no test file ${name}`);
    }
    if (names.length > 0) files = names.flatMap(filesOf);
    const words = part.replace(/`[^`]+`(, | and )?/g, "").trim();
    if (/^(the same|in all of them|(and )?the simulation\b.*)?$/.test(words)) continue;
    const titles = files.flatMap(titlesOf);
    for (const title of words.replace(/^: /, "").split("…")) {
      const wanted = title.replace(/^,/, "").trim();
      if (wanted !== "" && !titles.some((one) => one.includes(wanted))) {
        faults.push(`no test "${wanted}" in ${files.join(", ") || "no file"}`);
      }
    }
  }
  return faults;
}

it("names tests that there are", () => {
  const faults: string[] = [];
  let rows = 0;
  let section: string[] = [];
  for (const line of README.split("\n")) {
    if (line.startsWith("#")) section = [];
    if (line.includes(" — `")) section = namesIn(line.split(" — ")[1] ?? "").flatMap(filesOf);
    const [, clause, cell] = /^\| (.+) \| (.+) \|$/.exec(line) ?? [];
    if (clause === undefined || cell === undefined || /^(clause|---)$/.test(clause)) continue;
    rows += 1;
    faults.push(...faultsOf(cell, section).map((fault) => `${clause}: ${fault}`));
  }
  expect(faults).toEqual([]);
  expect(rows).toBeGreaterThan(80);
});

it("would notice one that there is not", () => {
  const files = filesOf("openai-files");
  expect(faultsOf("answers a file object; `api/auth`", files)).toEqual([]);
  expect(faultsOf("answers a folder…", files)).toHaveLength(1);
  expect(faultsOf("`api/nothing`", files)).toEqual(["no test file api/nothing"]);
  expect(faultsOf("`api/auth`: answers a file object", files)).toHaveLength(1);
});
