import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const run = promisify(execFile);
const program = join(import.meta.dirname, "../bench/main.ts");

it("measures Muster and its peers on a small workload, and loses nothing", async () => {
  const dir = mkdtempSync(join(tmpdir(), "muster-bench-test-"));
  try {
    const json = join(dir, "figures.json");
    const { stdout } = await run(process.execPath, [program, "prompts-50", "--json", json]);
    const { measures } = JSON.parse(readFileSync(json, "utf8")) as {
      measures: Record<string, unknown>[];
    };
    const subjects = measures.map(({ subject }) => subject);
    expect(subjects).toEqual(expect.arrayContaining(["Muster", "p-queue", "bottleneck"]));
    for (const one of measures) {
      expect(one).toMatchObject({ tasks: 100, calls: 100, lost: 0, wrong: 0, duplicates: 0 });
      expect(one.makespanMs).toBeGreaterThanOrEqual(Number(one.boundMs));
      expect(one.cpuMsPerTask).toBeGreaterThan(0);
      expect(one.peakBytes).toBeGreaterThan(20_000_000);
    }
    // At least one exchange brings tasks, and one ask permits.
    const muster = measures.find(({ subject }) => subject === "Muster");
    expect(Number(muster?.rpcsPerTask) * 100).toBeGreaterThanOrEqual(2);
    expect(stdout).toContain("÷ bound");
    expect(stdout).toMatch(/^prompts-50 +Muster /m);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

it("says which workload it does not know, and which there are", async () => {
  const failed = run(process.execPath, [program, "nonsense"]);
  await expect(failed).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining("prompts-10"),
  });
});
