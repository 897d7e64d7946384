import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, expect, it, vi } from "vitest";
import { parsePss, parseStat, readTree, treeOf } from "./process-tree.ts";

describe("parseStat", () => {
  it("reads the parent and all four times, in ticks of 10 ms", () => {
    const line = "42 (node) S 7 42 42 0 -1 4194560 6377 97438 1 49 5 4 20 1 20 0 1 0 1157303";
    expect(parseStat(line)).toEqual({ ppid: 7, cpuMs: 300 });
  });

  it("reads past a name with spaces and parentheses", () => {
    const line = "42 (a (b) c) S 7 42 42 0 -1 4194560 0 0 0 0 1 2 3 4 20 0 1 0 1";
    expect(parseStat(line)).toEqual({ ppid: 7, cpuMs: 100 });
  });
});

it("parsePss reads kilobytes as bytes, and nothing from a process that is gone", () => {
  expect(parsePss("0-1 ---p 0 00:00 0 [rollup]\nRss:  4076 kB\nPss:   909 kB\n")).toBe(930_816);
  expect(parsePss("")).toBe(0);
});

describe("treeOf", () => {
  const parents = new Map([
    [1, 0],
    [10, 1],
    [11, 10],
    [12, 11],
    [20, 1],
  ]);

  it("is the root, its children and theirs, and nobody else", () => {
    expect(treeOf(10, parents)).toEqual([10, 11, 12]);
  });

  it("is empty for a process that is gone", () => {
    expect(treeOf(99, parents)).toEqual([]);
  });
});

describe("readTree", () => {
  let child: ChildProcess | undefined;
  afterEach(() => child?.kill("SIGKILL"));

  /** Runs a script in a process of its own that says so when it is through, and stays. */
  async function running(script: string): Promise<number> {
    child = spawn(
      process.execPath,
      ["-e", `${script}; console.log("through"); setInterval(() => {}, 1e6);`],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    if (child.stdout) await once(child.stdout, "data");
    return child.pid ?? 0;
  }

  it("counts the CPU time of children that have ended", async () => {
    const burn =
      "for (let used; !(used?.user + used?.system > 400_000); used = process.cpuUsage()) for (let n = 0; n < 1e6; n++);";
    const spawned = `require("node:child_process").execFileSync(process.execPath, ["-e", ${JSON.stringify(burn)}])`;
    expect(readTree(await running(spawned)).cpuMs).toBeGreaterThanOrEqual(400);
  }, 60_000);

  it("counts the memory of children that run", async () => {
    const hoard = "globalThis.kept = Buffer.alloc(100e6, 1); setInterval(() => {}, 1e6)";
    // When the parent is killed the child notices by its input's end.
    const script = `const kept = require("node:child_process").spawn(process.execPath,
      ["-e", ${JSON.stringify(`process.stdin.on("end", () => process.exit()).resume(); ${hoard}`)}],
      { stdio: ["pipe", "ignore", "inherit"] })`;
    const pid = await running(script);
    await vi.waitFor(() => expect(readTree(pid).memoryBytes).toBeGreaterThan(100e6), 30_000);
  }, 60_000);

  it("sees nothing of a process that is gone", async () => {
    const pid = await running("");
    child?.kill("SIGKILL");
    await vi.waitFor(() => expect(readTree(pid)).toEqual({ cpuMs: 0, memoryBytes: 0 }), 30_000);
  }, 60_000);
});
