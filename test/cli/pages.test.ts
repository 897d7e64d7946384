import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { migrations as ofBatch } from "../../src/batch/migrations.ts";
import { projectDir } from "../../src/cli/workspace.ts";
import { variables } from "../../src/config.ts";
import { migrations as ofGate } from "../../src/gate/schema.ts";
import { migrations as ofLimiter } from "../../src/limiter/schema.ts";
import { DECISIONS, TROUBLES } from "../../src/log.ts";
import { migrations as ofProject } from "../../src/project/schema.ts";
import { anchorsOf, linksOf, pageOf, pages, rowsOf } from "../support/pages.ts";

/** The pages say what the code does: every name in them is there, and every name that is there is in them. */

/** The source of the Worker: what may log, and what tells metrics. */
const source = readdirSync(join(projectDir, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts") && !/^(cli|simulator|dashboard)\//.test(path))
  .map((path) => readFileSync(join(projectDir, "src", path), "utf8"))
  .join("\n");
const namesIn = (pattern: RegExp) =>
  [...new Set([...source.matchAll(pattern)].map(([, name = ""]) => name))].toSorted();

describe("src/OPERATING.md", () => {
  test("has every event that is logged, and no other", () => {
    const page = pageOf("src/OPERATING.md");
    expect(rowsOf(page, "Decisions").toSorted()).toEqual([...DECISIONS].toSorted());
    expect(rowsOf(page, "Trouble").toSorted()).toEqual([...TROUBLES].toSorted());
    // Each of them is logged somewhere.
    const logged = namesIn(/\bevent: "([a-z_]+)"/g);
    expect([...DECISIONS, ...TROUBLES].filter((event) => !logged.includes(event))).toEqual([]);
  });

  test("tells this version, and the state that it makes", () => {
    const last = (migrations: readonly { idMonotonicInc: number }[]) =>
      migrations.at(-1)?.idMonotonicInc;
    const states = [ofBatch, ofProject, ofLimiter, ofGate].map(last).join(", ");
    const rows = pageOf("src/OPERATING.md").matchAll(/^\| (\d+\.\d+\.\d+) \| ([\d, ]+) \|/gm);
    expect([...rows].at(-1)?.slice(1)).toEqual([packageJson.version, states]);
  });

  test("has every metric, and no other", () => {
    const metrics = namesIn(/\bname: "(muster_[a-z_]+)"/g);
    expect(metrics).toContain("muster_batches");
    const rows = rowsOf(pageOf("src/OPERATING.md"), "Metrics");
    expect(rows.filter((word) => /^muster_[a-z_]+$/.test(word)).toSorted()).toEqual(metrics);
  });
});

describe("src/config/README.md", () => {
  test("has every setting, and no other but those of npm start", () => {
    const page = pageOf("src/config/README.md");
    const table = page.slice(page.indexOf("| variable"), page.indexOf("## Limits it finds"));
    const names = [...table.matchAll(/^\| ([^|]*)\|/gm)].flatMap(([, cell = ""]) =>
      [...cell.matchAll(/`([A-Z_]+)`/g)].map(([, name = ""]) => name),
    );
    const local = ["PORT", "MUSTER_STATE_DIR", "MUSTER_VERBOSE"];
    expect(names.toSorted()).toEqual([...Object.keys(variables.shape), ...local].toSorted());
  });
});

describe("links", () => {
  test.each(pages)("of $path lead somewhere", (page) => {
    for (const { file, anchor } of linksOf(page)) {
      const target = join(projectDir, file);
      expect(existsSync(target), `${file}, of ${page.path}`).toBe(true);
      if (anchor === undefined) continue;
      expect(anchorsOf(readFileSync(target, "utf8")), `${file}, of ${page.path}`).toContain(anchor);
    }
  });
});
