import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Api } from "./api.ts";
import { Town } from "./town.ts";

/**
 * A soak: hours of load in virtual time, from many projects, with an upstream that fails in every way
 * it can and calls between objects that get lost. MUSTER_SOAK_HOURS makes it longer.
 */

const HOURS = Number(process.env.MUSTER_SOAK_HOURS ?? 3);
const HOUR_MS = 3_600_000;
/** As long as batches are kept. */
const RETENTION_HOURS = 1;
const PROJECTS = Array.from({ length: 12 }, (_, n) => `project-${n}`);
const ENDED = ["completed", "cancelled", "expired"];
/** Ids of what was deleted stay for a day, whatever else does. */
const CURSORS = "project.deleted";

/** The real clock, which the tests' own time does not stop. */
const realNow = performance.now.bind(performance);

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 22) });
  // Each exchange that is lost is told of.
  vi.spyOn(console, "warn").mockReturnValue();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function heapMb(): number {
  collect();
  return process.memoryUsage().heapUsed / 1024 / 1024;
}

const sum = (numbers: Iterable<number>) => [...numbers].reduce((total, one) => total + one, 0);

test(`${HOURS} hours of many projects' batches end exactly, and leave nothing behind`, {
  timeout: HOURS * 120_000,
}, async () => {
  const startMs = Date.now();
  const beganMs = realNow();
  const api = new Api({
    latencyMs: (chance) => chance.between(50, 2_000),
    limits: { concurrency: 20, rpm: 600, burst: 20 },
    refuses: 0.01,
    // Nobody answers for the first two minutes of each half hour.
    down: () => (Date.now() - startMs) % (HOUR_MS / 2) < 120_000 && Date.now() > startMs + 200_000,
    faults: { error: 0.03, rubbish: 0.01, cut: 0.01, silence: 0.01 },
  });
  const town = new Town(
    {
      UPSTREAM_BASE_URL: "http://a/v1",
      UPSTREAM_ALLOW_PRIVATE: "1",
      UPSTREAM_MAX_CONCURRENCY: "20",
      UPSTREAM_RPM: "600",
      UPSTREAM_TIMEOUT_MS: "5000",
      CONSUMER_LANES: "20",
      RETENTION_HOURS: `${RETENTION_HOURS}`,
    },
    { a: api },
    Number(process.env.MUSTER_SOAK_SEED ?? 1),
  );
  town.lost = 0.005;
  const { chance } = town;
  const asked = new Map<string, { project: string; tasks: number }>();
  const open = new Set<string>();
  const outcomes = new Map(PROJECTS.map((project) => [project, { tasks: 0, succeeded: 0 }]));

  /** Holds each batch that has ended to what it was asked, before it is deleted. */
  const check = () => {
    for (const id of open) {
      const batch = town.batch(id);
      const view = batch.view();
      if (!view.ok) throw new Error(`${id} is gone before it ended`);
      if (!ENDED.includes(view.value.status)) continue;
      const { project, tasks } = asked.get(id) ?? expect.fail(id);
      const { pending, running, ...ends } = view.value.muster.counts;
      expect({ id, open: pending + running, ended: sum(Object.values(ends)) }).toEqual({
        ...{ id, open: 0, ended: tasks },
      });
      const page = batch.reader.results("all", -1, 1_000);
      const lines = page.ok ? page.value.rows.map(({ line }) => JSON.parse(line)) : [];
      const ids = lines.map(({ custom_id }: { custom_id: string }) => custom_id);
      expect(ids.length).toBe(tasks);
      expect(new Set(ids).size).toBe(tasks);
      const told = outcomes.get(project) ?? expect.fail(project);
      told.tasks += tasks;
      told.succeeded += ends.succeeded;
      open.delete(id);
    }
  };

  const marks: { rows: number; mb: number }[] = [];
  for (let hour = 0; hour < HOURS; hour += 1) {
    for (let minute = 0; minute < 60; minute += 1) {
      for (let half = 0; half < 2; half += 1) {
        const project = chance.pick(PROJECTS);
        const tasks = chance.between(1, 60);
        const id = town.openMany(tasks, { project, priority: chance.between(1, 100) });
        asked.set(id, { project, tasks });
        open.add(id);
        await town.pass(30_000);
        if (chance.maybe(0.05)) town.batch(id).cancel();
      }
      check();
    }
    const { [CURSORS]: _, ...rows } = town.rows();
    marks.push({ rows: sum(Object.values(rows)), mb: heapMb() });
  }
  await town.until(() => {
    check();
    return open.size === 0;
  }, HOUR_MS);

  await town.pass((RETENTION_HOURS + 0.1) * HOUR_MS);
  const { [CURSORS]: cursors, ...left } = town.rows();
  const endMb = heapMb();
  const all = sum([...asked.values()].map(({ tasks }) => tasks));
  const seconds = Math.round((realNow() - beganMs) / 1000);
  const perHour = marks.map(({ rows, mb }) => `${rows} rows, ${mb.toFixed(1)} MB`).join("; ");
  console.log(
    `${HOURS} h in ${seconds} s: ${asked.size} batches of ${PROJECTS.length} projects, ${all} tasks, ${api.arrivedMs.length} calls. After each hour: ${perHour}; after retention: ${sum(Object.values(left))} rows (and ${cursors} cursors), ${endMb.toFixed(1)} MB`,
  );

  // Each project's own sums, of batches that are all gone, are those of what was seen to end.
  for (const project of PROJECTS) {
    const { tasks, batches } = town.project(project).digests.totals();
    const seen = outcomes.get(project) ?? expect.fail(project);
    expect({
      project,
      batches,
      succeeded: tasks.succeeded,
      all: sum(Object.values(tasks)),
    }).toEqual({ project, batches: {}, succeeded: seen.succeeded, all: seen.tasks });
  }
  expect(sum([...outcomes.values()].map(({ tasks }) => tasks))).toBe(all);
  expect(api.inFlight).toBe(0);

  // What is left is what each object always has: sums and a quota's state.
  const full = Object.fromEntries(Object.entries(left).filter(([, rows]) => rows > 0));
  expect(full).toEqual({
    "project.gone": PROJECTS.length,
    "limiter.quota": 1,
    "limiter.output": 1,
  });
  // From the second hour on as much goes as comes.
  const [, early = expect.fail("no second hour")] = marks;
  const late = marks.at(-1) ?? early;
  expect(late.rows).toBeLessThan(1.3 * early.rows);
  expect(late.mb).toBeLessThan(early.mb + 10);
  expect(endMb).toBeLessThan(early.mb);
});
