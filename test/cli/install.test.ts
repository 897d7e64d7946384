import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { covers, install, isInstalled, nodeProblem } from "../../src/cli/install.mjs";
import { temporaryDir } from "./support.ts";

const one = { version: "1.0.0", integrity: "sha512-one" };
const two = { version: "2.0.0", integrity: "sha512-two" };
const lock = { packages: { "": {}, "node_modules/a": one } };

function project(files: Record<string, unknown>): string {
  const root = temporaryDir();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(root, name, ".."), { recursive: true });
    const text = typeof content === "string" ? content : JSON.stringify(content);
    writeFileSync(join(root, name), text);
  }
  return root;
}

describe("covers", () => {
  test("the same packages", () => {
    expect(covers({ packages: { "node_modules/a": one } }, lock)).toBe(true);
  });
  test("more packages than asked for", () => {
    const installed = { packages: { "node_modules/a": one, "node_modules/b": two } };
    expect(covers(installed, lock)).toBe(true);
  });
  test("not a package that is missing", () => {
    expect(covers({ packages: {} }, lock)).toBe(false);
    expect(covers({}, lock)).toBe(false);
  });
  test("not another version, nor other content", () => {
    expect(covers({ packages: { "node_modules/a": two } }, lock)).toBe(false);
    const other = { ...one, integrity: "sha512-other" };
    expect(covers({ packages: { "node_modules/a": other } }, lock)).toBe(false);
  });
  test("without an optional package, which is for another platform", () => {
    const optional = { packages: { "node_modules/a": { ...one, optional: true } } };
    expect(covers({ packages: {} }, optional)).toBe(true);
    expect(covers({ packages: { "node_modules/a": two } }, optional)).toBe(false);
  });
});

describe("isInstalled", () => {
  test("not in a fresh clone", () => {
    expect(isInstalled(project({ "package-lock.json": lock }))).toBe(false);
  });
  test("after npm installed this lock by itself", () => {
    const installed = { packages: { "node_modules/a": one } };
    const root = project({
      "package-lock.json": lock,
      "node_modules/.package-lock.json": installed,
    });
    expect(isInstalled(root)).toBe(true);
    expect(install(root)).toBeUndefined();
  });
  test("not when the lock has changed since", () => {
    const installed = { packages: { "node_modules/a": two } };
    const root = project({
      "package-lock.json": lock,
      "node_modules/.package-lock.json": installed,
      "node_modules/.muster-lock": "the hash of another lock",
    });
    expect(isInstalled(root)).toBe(false);
  });
});

test("a clone without its lock says so", () => {
  expect(install(project({}))).toContain("package-lock.json");
});

describe("nodeProblem", () => {
  const bare = project({});
  test.each(["v22.18.0", "v24.0.0", "v25.1.0"])("%s will do", (version) => {
    expect(nodeProblem(bare, version)).toBeUndefined();
  });
  test.each(["v18.20.0", "v20.20.2", "v22.17.1"])(
    "%s will not, without the one we bring",
    (old) => {
      expect(nodeProblem(bare, old)).toContain(`22.18 or newer and this is ${old}`);
      expect(nodeProblem(project({ "node_modules/node/bin/node": "" }), old)).toBeUndefined();
    },
  );
});

describe("a script of package.json that installs first", () => {
  const { scripts } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  ) as { scripts: Record<string, string> };
  const installing = Object.entries(scripts).filter(([, script]) => script.includes("install.mjs"));

  test("is each that a fresh clone may begin with", () => {
    const names = installing.map(([name]) => name);
    expect(names).toEqual(expect.arrayContaining(["demo", "start", "deploy", "test", "check"]));
  });
  // `sh` remembers where it found `node`: named again in the same shell, that is still the
  // system's, and not the one that has just been installed. `exec` looks anew.
  test.each(installing)("%s runs all the rest by one exec", (_, script) => {
    expect(script).toMatch(/^node src\/cli\/install\.mjs && exec [^&|;]+$/);
  });
});
