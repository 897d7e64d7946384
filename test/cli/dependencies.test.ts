import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { projectDir } from "../../src/cli/workspace.ts";

interface Locked {
  version?: string;
  resolved?: string;
  integrity?: string;
  license?: string;
  dev?: boolean;
  optional?: boolean;
  devOptional?: boolean;
  hasInstallScript?: boolean;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

const read = (name: string) => readFileSync(join(projectDir, name), "utf8");
const lock = JSON.parse(read("package-lock.json")) as { packages: Record<string, Locked> };
const packages = Object.entries(lock.packages).filter(([path]) => path !== "");
const nameOf = (path: string) => path.replace(/^.*node_modules\//, "");
const asked = { ...packageJson.dependencies, ...packageJson.devDependencies };

/** What may be in the Worker and in the command line. */
const PERMISSIVE =
  /^(MIT|ISC|0BSD|BSD-[23]-Clause|Apache-2\.0|MIT OR Apache-2\.0|Unlicense|CC0-1\.0)$/;
/** What tools may besides: none of it is shipped. libvips (sharp, of wrangler) and lightningcss. */
const OF_TOOLS = /^(MPL-2\.0|LGPL-3\.0-or-later|Apache-2\.0 AND LGPL-3\.0-or-later( AND MIT)?)$/;

/** Whether a package finds another one, as Node looks for it: with itself, then further up. */
function isFound(path: string, name: string): boolean {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")))) {
    if (lock.packages[`${at}${at === "" ? "" : "/"}node_modules/${name}`] !== undefined)
      return true;
    if (at === "") return false;
  }
}

describe("the dependencies", () => {
  test("each have a line in src/README.md that says why, and no line is left over", () => {
    const table = /## Dependencies\n(.*?)(\n## |$)/s.exec(read("src/README.md"))?.[1] ?? "";
    const rows = table.match(/^\| `[^|]+\|.*\|$/gm) ?? [];
    const explained = rows.flatMap((row) => {
      const names = row.split("|")[1]?.match(/`([^`]+)`/g) ?? [];
      return names.map((name) => name.slice(1, -1));
    });
    expect(explained.sort()).toEqual(Object.keys(asked).sort());
  });

  test("are all used", () => {
    const files = ["src", "test"].flatMap((folder) =>
      readdirSync(join(projectDir, folder), { recursive: true, encoding: "utf8" })
        .filter((path) => /\.(ts|tsx|mjs)$/.test(path))
        .map((path) => read(join(folder, path))),
    );
    const text = [...files, JSON.stringify(packageJson.scripts), read("tsconfig.json")].join("\n");
    const unused = Object.keys(asked).filter((name) => {
      const command = { "@biomejs/biome": "biome ", typescript: "tsc ", node: "node " }[name];
      return !text.includes(`"${name}`) && !text.includes(command ?? `${name}/`);
    });
    expect(unused.filter((name) => !name.startsWith("@types/"))).toEqual([]);
  });

  test("have licences that allow what is done with them", () => {
    const odd = packages.filter(([, { license = "none", dev, optional, devOptional }]) => {
      if (PERMISSIVE.test(license)) return false;
      const shipped = dev !== true && devOptional !== true && optional !== true;
      return shipped || !OF_TOOLS.test(license);
    });
    expect(odd.map(([path, { license }]) => `${path}: ${license}`)).toEqual([]);
  });

  test("run install scripts only where package.json names them", () => {
    const named = Object.keys(packageJson.allowScripts);
    const scripts = packages.filter(([, entry]) => entry.hasInstallScript === true);
    expect(scripts.map(([path]) => nameOf(path)).filter((name) => !named.includes(name))).toEqual(
      [],
    );
  });

  test("have no known advisory, where the registry can be asked", (context) => {
    const { stdout } = spawnSync("npm", ["audit", "--json"], { cwd: projectDir, encoding: "utf8" });
    const answer = JSON.parse(stdout) as {
      message?: string;
      vulnerabilities?: Record<string, { severity: string }>;
    };
    if (answer.vulnerabilities === undefined) {
      context.skip(`the registry can't be asked: ${answer.message}`);
    }
    expect(Object.keys(answer.vulnerabilities ?? {})).toEqual([]);
  });
});

describe("the lockfile", () => {
  test("names what package.json asks for, with the version that is installed", () => {
    const root = lock.packages[""];
    expect(root?.dependencies).toEqual(packageJson.dependencies);
    expect(root?.devDependencies).toEqual(packageJson.devDependencies);
    for (const name of Object.keys(asked)) {
      const installed = JSON.parse(read(`node_modules/${name}/package.json`)) as Locked;
      expect({ name, version: lock.packages[`node_modules/${name}`]?.version }).toEqual({
        name,
        version: installed.version,
      });
    }
  });

  // Optional ones are mostly binaries for one platform each. npm leaves out of a lock what its author's
  // own machine could not install, and then `npm ci` refuses it on another one.
  test("names what each package needs, on every platform", () => {
    const missing = packages.flatMap(([path, { dependencies, optionalDependencies }]) =>
      Object.keys({ ...dependencies, ...optionalDependencies })
        .filter((name) => !isFound(path, name))
        .map((name) => `${path}: ${name}`),
    );
    expect(missing).toEqual([]);
  });

  test("holds every package to a SHA-512, and none to an address outside the registry", () => {
    for (const [path, { integrity, resolved }] of packages) {
      expect({ path, integrity }).toEqual({ path, integrity: expect.stringMatching(/^sha512-/) });
      expect(resolved ?? "https://registry.npmjs.org/").toMatch(
        /^https:\/\/registry\.npmjs\.org\//,
      );
    }
  });
});
