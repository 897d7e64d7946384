import type { Measure } from "./run.ts";
import { type Column, drawTable } from "./table.ts";

/** One row of the table: a workload with one subject, over all its runs. */
type Row = Measure & { runs: number };

/** The middle one of some numbers; of an even count, the lower of the two. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1] ?? Number.NaN;
}

/** One measure of each workload and subject: medians, but the worst of what must be nought. */
export function summarize(measures: readonly Measure[]): Row[] {
  const groups = new Map<string, Measure[]>();
  for (const one of measures) {
    const key = `${one.workload} ${one.subject}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const row: Row = { ...first, runs: group.length };
    for (const name of MEDIANS) {
      const values = group.flatMap((one) => one[name] ?? []);
      if (values.length > 0) row[name] = median(values);
    }
    for (const name of WORST) row[name] = Math.max(...group.map((one) => one[name]));
    return [row];
  });
}

const MEDIANS = [
  "makespanMs",
  "callsPerSecond",
  "cpuMsPerTask",
  "startBytes",
  "peakBytes",
  "rpcsPerTask",
  "firstDoneMs",
  "firstMs",
  "foundShare",
  "aloneMs",
  "besideMs",
  "boundMs",
  "idealMs",
] as const;
const WORST = ["calls", "throttled", "lost", "wrong", "duplicates"] as const;

const right = (heading: string, cell: (row: Row) => string): Column<Row> => ({
  heading,
  align: "right",
  cell,
});

/** The table that the benchmark prints. */
export function describe(measures: readonly Measure[]): string {
  const rows = summarize(measures);
  const columns: Column<Row>[] = [
    // Named once, where its rows begin.
    { heading: "workload", align: "left", cell: (row) => row.workload },
    { heading: "who", align: "left", cell: ({ subject }) => subject },
    right("time", ({ makespanMs }) => seconds(makespanMs)),
    right("÷ bound", (row) => (row.makespanMs / row.boundMs).toFixed(2)),
    right("÷ ideal", (row) => (row.makespanMs / row.idealMs).toFixed(2)),
    right("429s", ({ throttled }) => count(throttled)),
    right("lost", ({ lost }) => count(lost)),
    right("wrong", ({ wrong }) => count(wrong)),
    right("twice", ({ duplicates }) => count(duplicates)),
    right("calls/s", ({ callsPerSecond }) => count(Math.round(callsPerSecond))),
    right("CPU/task", ({ cpuMsPerTask }) => `${cpuMsPerTask.toFixed(2)} ms`),
    right("memory", ({ peakBytes }) => `${Math.round(peakBytes / 2 ** 20)} MB`),
    right("RPCs/task", ({ rpcsPerTask }) => (rpcsPerTask === null ? "" : rpcsPerTask.toFixed(2))),
    { heading: "besides", align: "left", cell: besides },
  ];
  return drawTable(columns, rows);
}

function besides(row: Row): string {
  const { firstDoneMs, firstMs, foundShare, aloneMs, besideMs } = row;
  if (firstDoneMs !== null) return `the first of 10 was done after ${seconds(firstDoneMs)}`;
  if (firstMs !== null) return `first result ${Math.round(firstMs)} ms over its call`;
  if (foundShare !== null)
    return `${Math.round(foundShare * 100)} % of the limit once it was found`;
  if (aloneMs === null || besideMs === null) return "";
  const times = (besideMs / aloneMs).toFixed(1);
  return `10 beside it ${seconds(besideMs)}, alone ${seconds(aloneMs)}: ${times} ×`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function count(value: number): string {
  return value.toLocaleString("en");
}
