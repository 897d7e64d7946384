import type { Assignment, Report } from "../../src/batch/exchange.ts";
import type { BatchRow, DeliveryRow, ProgressRow } from "../../src/batch/schema.ts";
import { hashOutcomes } from "../../src/batch/store/outcomes.ts";
import { HOLD_TTL_MS } from "../../src/core/quota.ts";
import type { TaskState } from "../../src/core/task.ts";
import { TASK_STATES } from "../../src/core/task.ts";
import type { BatchStatus } from "../../src/wire/batch.ts";
import type { SimulatedBatch } from "./batch.ts";
import { type Simulation, Violation } from "./simulation.ts";
import { SpendingLedger } from "./spending.ts";
import { answerBody } from "./upstream.ts";
import { owes } from "./webhooks.ts";

/**
 * Triggers that write down every change of a state, in order, also those that one turn makes one
 * after the other: looking only between turns would miss them.
 */
export const WATCH = `
  CREATE TEMP TABLE seen (n INTEGER PRIMARY KEY, kind TEXT, seq INTEGER, attempt INTEGER,
    holder TEXT, was TEXT, becomes TEXT, active INTEGER, over INTEGER);
  CREATE TEMP TRIGGER watch_batch AFTER UPDATE OF status ON main.batch
    WHEN old.status <> new.status
    BEGIN INSERT INTO seen (kind, was, becomes) VALUES ('batch', old.status, new.status); END;
  CREATE TEMP TRIGGER watch_task AFTER UPDATE ON main.task
    WHEN old.state <> new.state OR old.attempt <> new.attempt OR old.holder IS NOT new.holder
    BEGIN INSERT INTO seen (kind, seq, attempt, holder, was, becomes, active, over)
      SELECT 'task', new.seq, new.attempt - old.attempt, new.holder, old.state, new.state,
        batch.status = 'in_progress' AND batch.ending IS NULL AND batch.paused_at IS NULL,
        (SELECT count(*) FROM task WHERE state = 'running') > batch.max_concurrency
      FROM batch; END;
  CREATE TEMP TRIGGER watch_budget AFTER UPDATE ON main.progress
    WHEN new.reserved_tokens > old.reserved_tokens OR new.reserved_cost > old.reserved_cost
    BEGIN INSERT INTO seen (kind) SELECT 'overspent' FROM batch
      WHERE new.input_tokens + new.output_tokens + new.reserved_tokens > max_tokens_total
        OR new.cost + new.reserved_cost > max_cost; END;
  CREATE TEMP TRIGGER watch_outcome AFTER UPDATE ON main.outcome
    BEGIN INSERT INTO seen (kind, seq) VALUES ('outcome changed', new.seq); END;
  CREATE TEMP TRIGGER watch_outcome_gone AFTER DELETE ON main.outcome
    BEGIN INSERT INTO seen (kind, seq, becomes) VALUES ('outcome gone', old.seq, old.ok); END;`;

type Seen = {
  kind: string;
  seq: number;
  attempt: number;
  holder: string | null;
  was: string;
  becomes: string;
  active: number;
  /** 1 when more calls are in flight than the batch's own limit. */
  over: number | null;
};

const BATCH_EDGES: Record<BatchStatus, readonly BatchStatus[]> = {
  validating: ["in_progress", "failed", "cancelling"],
  failed: [],
  in_progress: ["finalizing", "cancelling"],
  finalizing: ["completed", "expired"],
  completed: [],
  expired: [],
  cancelling: ["cancelled", "failed"],
  cancelled: [],
};
const TASK_EDGES: Record<TaskState, readonly TaskState[]> = {
  // A report that comes after its claim was taken back, and before the next, still counts.
  pending: ["running", "cancelled", "expired", "failed", "succeeded"],
  running: ["pending", "succeeded", "failed"],
  succeeded: [],
  failed: [],
  cancelled: [],
  expired: [],
};
/** What `retry` alone may do. */
const REOPENED: readonly string[] = ["completed", "expired", "cancelled"];
const RERUN: readonly string[] = ["failed", "cancelled", "expired"];
const OPEN: readonly string[] = ["pending", "running"];
export const TERMINAL: readonly string[] = ["completed", "expired", "cancelled", "failed"];

type TaskRow = {
  seq: number;
  custom_id: string;
  state: TaskState;
  attempt: number;
  twin_of: number | null;
  failures: number;
  not_before: number;
  holder: string | null;
  upstream: string | null;
};
type OutcomeRow = { seq: number; ok: number; line: string; bytes: number };

/** However an alarm was armed, it comes no later than this after the time something is due. */
const ALARM_SLACK_MS = 61_000;

/** What is known of one batch from its past, and what must therefore hold of it now. */
export class Ledger {
  /** Set while `retry` reopens the batch. */
  reopening = false;
  /** Since when each claim is known to no conversation, by seq. */
  readonly orphanSinceMs = new Map<string, number>();
  readonly #batch: SimulatedBatch;
  /** Who was told of each attempt. */
  readonly #assigned = new Map<string, string>();
  /** Where each attempt's call goes. */
  readonly #sentTo = new Map<string, string>();
  /** Who claimed each attempt. */
  readonly #claimed = new Map<string, string>();
  /** How many calls of each task failed. */
  readonly #failures = new Map<number, number>();
  readonly #spending: SpendingLedger;
  /** The tasks that run. */
  #claims: readonly TaskRow[] = [];
  readonly #lines = new Map<number, string>();
  /** What each place in the order of recording was given to. */
  readonly #places: (number | null)[] = [];

  constructor(batch: SimulatedBatch) {
    this.#batch = batch;
    this.#spending = new SpendingLedger(batch.file, (what) => this.#fail(what));
  }

  /** Notes what the Batch handed to a conversation. */
  assigned(holder: string, tasks: readonly Assignment[]): void {
    for (const { seq, attempt, upstream } of tasks) {
      const key = `${seq}/${attempt}`;
      this.#sentTo.set(key, upstream);
      const before = this.#assigned.get(key);
      if (before !== undefined) {
        this.#fail(`attempt ${key} was given to ${before} and again to ${holder}`);
      }
      this.#assigned.set(key, holder);
      const claimant = this.#claimed.get(key);
      // Claims are read after the step, so one of this very step is not there yet.
      if (claimant !== undefined && claimant !== holder) {
        this.#fail(`attempt ${key} is ${claimant}'s and was given to ${holder}`);
      }
    }
  }

  row(): BatchRow {
    const [row] = this.#batch.file.rows<BatchRow>("SELECT * FROM batch");
    if (row === undefined) throw new Violation(`${this.#batch.name} has no row`);
    return row;
  }

  get claims(): readonly TaskRow[] {
    return this.#claims;
  }

  deliveries(): DeliveryRow[] {
    return this.#batch.file.rows<DeliveryRow>("SELECT * FROM delivery");
  }

  tasks(): TaskRow[] {
    return this.#batch.file.rows<TaskRow>("SELECT * FROM task ORDER BY seq");
  }

  /** Notes what came of a call. */
  called(report: Report): void {
    // A 429 counts as a failure, too, once a task has had several while others were answered.
    if (report.verdict.kind === "retry" || report.verdict.kind === "throttled") {
      this.#failures.set(report.seq, (this.#failures.get(report.seq) ?? 0) + 1);
    }
    this.#spending.called(report);
  }

  /** Checks that it may be deleted. */
  forgotten(nowMs: number, retentionMs: number): void {
    const row = this.row();
    const endedMs = row.completed_at ?? row.expired_at ?? row.cancelled_at ?? row.failed_at;
    const mayGo = row.removed_at !== null || (endedMs !== null && endedMs + retentionMs <= nowMs);
    if (!TERMINAL.includes(row.status) || !mayGo) {
      this.#fail(`was deleted while it is ${row.status}`);
    }
  }

  /** Checks everything that concerns this batch alone. */
  check(nowMs: number): void {
    const { file } = this.#batch;
    // What nobody has used is as it was.
    if (!file.touched) return;
    file.touched = false;
    this.#checkChanges();
    const row = this.row();
    const tasks = this.tasks();
    const outcomes = file.rows<OutcomeRow>(
      "SELECT seq, ok, line, octet_length(line) + 1 AS bytes FROM outcome ORDER BY seq",
    );
    const [progress] = file.rows<ProgressRow>("SELECT * FROM progress");
    if (progress === undefined) throw new Violation(`${this.#batch.name} has no progress`);
    this.#checkCounts(progress, tasks, outcomes);
    this.#checkOutcomes(tasks, outcomes);
    this.#checkPlaces(row, outcomes);
    this.#checkOnce(tasks);
    this.#spending.check(row, progress);
    const ended = REOPENED.includes(row.status);
    if (ended && progress.pending + progress.running > 0) {
      this.#fail(`is ${row.status} with tasks open`);
    }
    if ((ended || row.status === "in_progress") && tasks.length !== this.#batch.asked) {
      this.#fail(`is ${row.status} with ${tasks.length} of ${this.#batch.asked} tasks`);
    }
    const hash = ended ? hashOutcomes({ exec: rowsOf(file) }) : null;
    if (row.outcomes_sha256 !== hash) this.#fail("its audit is not the hash of its outcomes");
    if (ended) {
      const { output, error } = this.#batch.registered ?? { output: -1, error: -1 };
      if (output !== progress.output_bytes || error !== progress.error_bytes) {
        this.#fail("its files in the Project's index are not as long as it says");
      }
    }
    if (ended && row.told_status === row.status) this.#checkNoted(row, progress);
    if (!this.#batch.alarming) this.#checkAlarm(row, progress, tasks, nowMs);
    this.#claims = tasks.filter(({ state }) => state === "running");
    for (const { seq, attempt, upstream } of this.#claims) {
      const to = this.#sentTo.get(`${seq}/${attempt}`);
      if (to !== undefined && to !== upstream) {
        this.#fail(`task ${seq} is called at ${to}, and its row says ${upstream}`);
      }
    }
  }

  /** The project knows how an ended batch ended. */
  #checkNoted(row: BatchRow, progress: ProgressRow): void {
    const { noted } = this.#batch;
    const same =
      noted?.status === row.status &&
      TASK_STATES.every((state) => noted[state] === progress[state]);
    if (!same) this.#fail("its project was told of another end");
  }

  #checkChanges(): void {
    const { file } = this.#batch;
    const seen = file.rows<Seen>("SELECT * FROM seen ORDER BY n");
    if (seen.length === 0) return;
    file.rows("DELETE FROM seen");
    for (const change of seen) {
      const { kind, seq, was, becomes } = change;
      if (kind === "batch") {
        const reopened = this.reopening && REOPENED.includes(was) && becomes === "in_progress";
        if (!reopened && !BATCH_EDGES[was as BatchStatus].some((edge) => edge === becomes)) {
          this.#fail(`went from ${was} to ${becomes}`);
        }
      } else if (kind === "overspent") {
        this.#fail("reserved more than its budget has left");
      } else if (kind === "outcome changed") {
        this.#fail(`the outcome of task ${seq} was changed`);
      } else if (kind === "outcome gone") {
        if (!this.reopening || Number(becomes) === 1) this.#fail(`lost the outcome of task ${seq}`);
        this.#lines.delete(seq);
      } else {
        this.#checkTaskChange(change);
      }
    }
  }

  #checkTaskChange(change: Seen): void {
    const { seq, attempt: more, holder, was, becomes, active, over } = change;
    const rerun = this.reopening && RERUN.includes(was) && becomes === "pending";
    if (!rerun && !TASK_EDGES[was as TaskState].some((edge) => edge === becomes)) {
      this.#fail(`task ${seq} went from ${was} to ${becomes}`);
    }
    if (more !== (becomes === "running" ? 1 : 0)) {
      this.#fail(`task ${seq} went to ${becomes} and its attempt by ${more}`);
    }
    if ((holder === null) === (becomes === "running")) {
      this.#fail(`task ${seq} is ${becomes} and held by ${holder}`);
    }
    if (becomes !== "running") return;
    if (this.tasks().some((task) => task.seq === seq && task.twin_of !== null)) {
      this.#fail(`handed out task ${seq}, whose body another one has`);
    }
    if (active !== 1) this.#fail(`handed out task ${seq} while it hands out nothing`);
    if (over === 1) this.#fail(`handed out task ${seq} with too many of its calls in flight`);
    if (holder !== null) this.#claimed.set(`${seq}/${this.#attemptOf(seq)}`, holder);
  }

  /** How often a task was claimed, this time included: the number of its attempt. */
  #attemptOf(seq: number): number {
    let attempt = 1;
    while (this.#claimed.has(`${seq}/${attempt}`)) attempt += 1;
    return attempt;
  }

  #checkCounts(
    progress: ProgressRow,
    tasks: readonly TaskRow[],
    outcomes: readonly OutcomeRow[],
  ): void {
    const counts: Record<TaskState, number> = {
      pending: 0,
      running: 0,
      succeeded: 0,
      failed: 0,
      cancelled: 0,
      expired: 0,
    };
    for (const { state } of tasks) counts[state] += 1;
    for (const [state, count] of Object.entries(counts)) {
      const kept = progress[state as TaskState];
      if (kept !== count) this.#fail(`says ${kept} tasks are ${state}, and ${count} are`);
    }
    if (progress.total !== tasks.length) {
      this.#fail(`says it has ${progress.total} tasks, and has ${tasks.length}`);
    }
    const bytes = [0, 0];
    for (const { ok, bytes: more } of outcomes) bytes[ok] = (bytes[ok] ?? 0) + more;
    if (progress.output_bytes !== bytes[1] || progress.error_bytes !== bytes[0]) {
      this.#fail("its files are not as long as their lines");
    }
  }

  /** A report that is said twice counts once. */
  #checkOnce(tasks: readonly TaskRow[]): void {
    for (const { seq, failures } of tasks) {
      const failed = this.#failures.get(seq) ?? 0;
      if (failures > failed) this.#fail(`task ${seq} counts ${failures} failures of ${failed}`);
    }
  }

  #checkOutcomes(tasks: readonly TaskRow[], outcomes: readonly OutcomeRow[]): void {
    const bySeq = new Map(outcomes.map((outcome) => [outcome.seq, outcome]));
    const originals = new Map(tasks.map((task) => [task.seq, task]));
    for (const task of tasks) {
      const { seq, state, custom_id } = task;
      const original = originals.get(task.twin_of ?? seq) ?? task;
      if (task.twin_of !== null && ![original.state, "pending"].includes(state)) {
        this.#fail(
          `task ${seq} is ${state}, and ${original.seq} with the same body ${original.state}`,
        );
      }
      const outcome = bySeq.get(seq);
      bySeq.delete(seq);
      if (outcome === undefined) {
        if (!OPEN.includes(state)) this.#fail(`task ${seq} is ${state} and has no outcome`);
        continue;
      }
      if (OPEN.includes(state)) this.#fail(`task ${seq} is ${state} and has an outcome`);
      if ((outcome.ok === 1) !== (state === "succeeded")) {
        this.#fail(`task ${seq} is ${state}, its outcome is ${outcome.ok ? "good" : "not"}`);
      }
      const before = this.#lines.get(seq);
      if (before === outcome.line) continue;
      if (before !== undefined) this.#fail(`task ${seq} has another outcome than before`);
      this.#lines.set(seq, outcome.line);
      this.#checkLine(outcome.line, original.seq, original.attempt, custom_id);
    }
    for (const seq of bySeq.keys()) this.#fail(`there is an outcome of no task, ${seq}`);
  }

  /**
   * Each outcome has one place in the order of recording; an end has the last. A place that a
   * listener may know of is never given again, nor is an earlier one.
   */
  #checkPlaces(row: BatchRow, outcomes: readonly OutcomeRow[]): void {
    const places = this.#batch.file.rows<{ place: number; seq: number | null }>(
      "SELECT place, seq FROM recorded ORDER BY place",
    );
    const last = this.#places.length - 1;
    for (const { place, seq } of places) {
      const before = this.#places[place];
      if (before === undefined) {
        if (place <= last) this.#fail(`place ${place} came after place ${last}`);
        this.#places[place] = seq;
      } else if (before !== seq) this.#fail(`place ${place} was task ${before}'s, now ${seq}'s`);
    }
    const placed = places.flatMap(({ seq }) => (seq === null ? [] : [seq])).toSorted(bySize);
    const recorded = outcomes.map(({ seq }) => seq);
    if (placed.join() !== recorded.join()) {
      this.#fail(`has outcomes of tasks ${recorded} and places of ${placed}`);
    }
    if (TERMINAL.includes(row.status) && places.at(-1)?.seq !== null) {
      this.#fail(`is ${row.status} without a last place`);
    }
  }

  /** A line is JSON, names its task, and is the answer to the attempt that ended it. */
  #checkLine(line: string, seq: number, attempt: number, customId: string): void {
    const parsed = JSON.parse(line) as { custom_id: string; response: object | null };
    if (parsed.custom_id !== customId) this.#fail(`the line of task ${seq} names another`);
    if (parsed.response !== null && !line.includes(answerBody(seq, attempt))) {
      this.#fail(`the line of task ${seq} is not the answer to its attempt ${attempt}`);
    }
  }

  /** Whatever is due has an alarm that brings it about. */
  #checkAlarm(
    row: BatchRow,
    progress: ProgressRow,
    tasks: readonly TaskRow[],
    nowMs: number,
  ): void {
    const { alarmAtMs } = this.#batch;
    const due: number[] = this.deliveries()
      .filter(({ state }) => state === "due")
      .map(({ next_at }) => next_at);
    if (owes(this.#batch).length > 0) due.push(nowMs);
    const { pending, running } = progress;
    if (row.status === "validating" || row.status === "finalizing") due.push(nowMs);
    if (row.status === "cancelling") due.push(nowMs);
    if (row.told_status !== row.status) due.push(nowMs);
    if (row.status === "in_progress") {
      due.push(row.expires_at);
      if (running > 0 || pending === 0 || row.ending !== null) due.push(nowMs);
      else if (row.paused_at === null) {
        due.push(Math.max(nowMs, Math.min(...tasks.map(notBefore))));
      }
    }
    if (due.length === 0) return;
    const latestMs = Math.max(nowMs, Math.min(...due)) + ALARM_SLACK_MS;
    if (alarmAtMs === undefined || alarmAtMs > latestMs) {
      const set = alarmAtMs === undefined ? "none" : `one in ${alarmAtMs - nowMs} ms`;
      this.#fail(
        `something is due in ${latestMs - ALARM_SLACK_MS - nowMs} ms, its alarm is ${set}`,
      );
    }
  }

  #fail(what: string): never {
    throw new Violation(`batch ${this.#batch.name}: ${what}`);
  }
}

function notBefore({ state, not_before }: TaskRow): number {
  return state === "pending" ? not_before : Number.POSITIVE_INFINITY;
}

function rowsOf(file: SimulatedBatch["file"]): Parameters<typeof hashOutcomes>[0]["exec"] {
  return (query, ...bindings) => {
    const rows = file.rows<never>(query, ...bindings);
    return {
      toArray: () => rows,
      one: () => rows[0] as never,
      [Symbol.iterator]: () => rows[Symbol.iterator](),
    };
  };
}

/** Checks all that must hold after every step. @throws {Violation} naming what does not. */
export function checkAll(simulation: Simulation): void {
  if (simulation.failure) throw simulation.failure;
  const { nowMs, limiters, plan, batches } = simulation;
  for (const { ledger, gone } of batches) if (!gone) ledger.check(nowMs);
  for (const limiter of limiters) {
    const { quota } = limiter;
    let running = 0;
    let excused = false;
    for (const { ledger, ref, gone } of batches) {
      if (gone) continue;
      const here = ledger.claims.filter(({ upstream }) => upstream === quota).length;
      running += here;
      // The one excuse: the Limiter forgets a batch whose every word was lost for so long.
      const heardAtMs = limiter.heardAtMs(ref) ?? 0;
      if (here > 0 && nowMs - heardAtMs > HOLD_TTL_MS) excused = true;
    }
    const upstream = plan.config.upstreams.find(({ name }) => name === quota);
    const most = upstream?.quotas[0].limits.maxConcurrency ?? 0;
    if (running > most && !excused) {
      throw new Violation(
        `${running} calls are in flight upstream at ${quota}, and at most ${most} may be`,
      );
    }
  }
  checkOrphans(simulation);
}

/** A claim that no conversation knows of is taken back, however it came about. */
function checkOrphans(simulation: Simulation): void {
  const { nowMs, plan, chaos } = simulation;
  const patienceMs = plan.config.claimTtlMs + (chaos ? 120_000 : 45_000);
  for (const { ledger, name, gone } of simulation.batches) {
    if (gone) continue;
    const orphans = new Set<string>();
    for (const { seq, attempt, holder } of ledger.claims) {
      const known = simulation.invocations.some((invocation) =>
        invocation.talks.some((talk) => talk.holder === holder && talk.knows(seq, attempt)),
      );
      if (known || simulation.exchanges.some((exchange) => exchange.request.holder === holder)) {
        continue;
      }
      const key = `${seq}/${attempt}`;
      orphans.add(key);
      const sinceMs = ledger.orphanSinceMs.get(key) ?? nowMs;
      ledger.orphanSinceMs.set(key, sinceMs);
      if (nowMs - sinceMs > patienceMs) {
        throw new Violation(
          `batch ${name}: nobody knows of ${holder}'s claim ${key}, and it was not taken back in ${nowMs - sinceMs} ms`,
        );
      }
    }
    for (const key of ledger.orphanSinceMs.keys()) {
      if (!orphans.has(key)) ledger.orphanSinceMs.delete(key);
    }
  }
}

const bySize = (a: number, b: number) => a - b;
