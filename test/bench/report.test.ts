import { describe as about, expect, it } from "vitest";
import { describe, median, summarize } from "./report.ts";
import type { Measure } from "./run.ts";
import { drawTable } from "./table.ts";

const one: Measure = {
  workload: "overhead",
  subject: "Muster",
  seed: 1,
  tasks: 10_000,
  makespanMs: 10_000,
  boundMs: 2_000,
  idealMs: 2_500,
  calls: 10_000,
  throttled: 0,
  lost: 0,
  wrong: 0,
  duplicates: 0,
  callsPerSecond: 1_000,
  cpuMsPerTask: 0.834,
  startBytes: 100 * 2 ** 20,
  peakBytes: 300 * 2 ** 20,
  rpcsPerTask: 0.25,
  firstDoneMs: null,
  firstMs: null,
  foundShare: null,
  aloneMs: null,
  besideMs: null,
};

about("drawTable", () => {
  it("lines cells up under their headings and leaves out columns without a cell", () => {
    const columns = [
      { heading: "who", align: "left" as const, cell: (row: string[]) => row[0] ?? "" },
      { heading: "n", align: "right" as const, cell: (row: string[]) => row[1] ?? "" },
      { heading: "none", align: "left" as const, cell: () => "" },
    ];
    const rows = [
      ["a", "1"],
      ["abcd", "1,000"],
    ];
    expect(drawTable(columns, rows).split("\n")).toEqual([
      "who       n",
      "───────────",
      "a         1",
      "abcd  1,000",
    ]);
  });
});

about("summarize", () => {
  it("takes the middle one of several runs, and the worst of what must be nought", () => {
    const runs = [
      one,
      { ...one, makespanMs: 30_000, lost: 3, throttled: 9 },
      { ...one, makespanMs: 20_000 },
    ];
    expect(summarize(runs)).toEqual([
      { ...one, makespanMs: 20_000, lost: 3, throttled: 9, runs: 3 },
    ]);
  });

  it("keeps workloads and subjects apart, in the order they came", () => {
    const rows = summarize([one, { ...one, subject: "p-queue" }, { ...one, workload: "faults" }]);
    expect(rows.map(({ workload, subject }) => [workload, subject])).toEqual([
      ["overhead", "Muster"],
      ["overhead", "p-queue"],
      ["faults", "Muster"],
    ]);
  });

  it("takes a real run for the median, also of an even count", () => {
    expect(median([4, 1, 3, 2])).toBe(2);
  });
});

about("describe", () => {
  it("tells makespan against bound and ideal, CPU, memory and RPCs a task", () => {
    const [, , row = ""] = describe([one]).split("\n");
    const told = row.split(/ {2,}/);
    expect(told).toEqual([
      ..."overhead|Muster|10.00 s|5.00|4.00|0|0|0|0|1,000|0.83 ms|300 MB|0.25".split("|"),
    ]);
  });

  it("tells the first of ten, the first result, and the small batch beside the big one", () => {
    const table = describe([
      { ...one, workload: "shared-rate", firstDoneMs: 9_700 },
      { ...one, workload: "first-result", firstMs: 38.6 },
      { ...one, workload: "two-batches", aloneMs: 400, besideMs: 600 },
    ]);
    expect(table).toContain("the first of 10 was done after 9.70 s");
    expect(table).toContain("first result 39 ms over its call");
    expect(table).toContain("10 beside it 0.60 s, alone 0.40 s: 1.5 ×");
  });
});
