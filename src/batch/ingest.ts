import { type ModelCheck, modelCheck } from "../config/model-check.ts";
import type { Config } from "../config.ts";
import { JsonlSplitter, type Line } from "../core/jsonl.ts";
import { quoted } from "../core/quoted.ts";
import type { BatchError, Endpoint } from "../wire/batch.ts";
import { MAX_LINE_BYTES, type NewTask, parseLine } from "../wire/request.ts";
import { announce } from "./announce.ts";
import type { BatchRow } from "./schema.ts";
import { addTasks, dropTasks, firstModel } from "./store/intake.ts";
import type { Store } from "./store/store.ts";
import type { World } from "./world.ts";

/**
 * Reads a batch's input file from R2: in ranges, each committed with its place in the file, so that
 * a kill costs one range. Nothing is called before the whole file is known to be good.
 */

/** Read and committed at a time: a transaction of at most some ten thousand rows. */
const RANGE_BYTES = 1024 * 1024;
/** Validation errors that are kept; the file is read no further once there are more. */
const MAX_ERRORS = 100;

/**
 * Whether there is more to read of the batch's file. One that is cancelled meanwhile is read to its
 * end, too: each line gets its outcome, so the counts are those of the whole file and a retry runs
 * all of it.
 */
export function isReading(store: Store): boolean {
  const row = store.rows.get();
  if (row === undefined || row.source_read === 1) return false;
  if (row.status === "validating") return true;
  // An earlier Muster closed what it had read of a file: that batch ends so, and its retry reads on.
  return row.status === "cancelling" && store.progress().cancelled === 0;
}

/**
 * Reads the next range; after the last one the batch has begun (or goes on being cancelled), or
 * failed with its errors.
 *
 * @throws when R2 cannot be read; nothing has changed then.
 */
export async function ingestRange(
  store: Store,
  world: World,
  row: BatchRow,
  config: Config,
): Promise<void> {
  if (row.source_key === null) throw new Error("a batch that is to be read has no file");
  const size = await world.fileSize(row.source_key);
  if (size === undefined) {
    missing(store, row, world.nowMs());
    return;
  }
  const splitter = new JsonlSplitter({
    maxLineBytes: MAX_LINE_BYTES,
    offset: row.source_offset,
    line: row.source_line,
  });
  let lines: Line[] = [];
  let at = row.source_offset;
  // A line longer than a range takes several; the splitter bounds what it keeps of it.
  do {
    const length = Math.min(RANGE_BYTES, size - at);
    if (length > 0) {
      const part = await world.readFile(row.source_key, at, length);
      if (part === undefined) {
        missing(store, row, world.nowMs());
        return;
      }
      lines = lines.concat(splitter.push(part));
      at += length;
    }
    if (at >= size) lines = lines.concat(splitter.end());
  } while (lines.length === 0 && at < size);
  const last = at >= size;
  store.transaction(() => commit(store, row, lines, last, config, world.nowMs()));
}

/** Adds the lines' tasks. Guarded by the place read from: a second reader of it changes nothing. */
function commit(
  store: Store,
  read: BatchRow,
  lines: Line[],
  last: boolean,
  config: Config,
  nowMs: number,
): void {
  const row = store.rows.get();
  if (row === undefined || !isReading(store) || row.source_offset !== read.source_offset) return;
  const errors: BatchError[] = row.errors === null ? [] : (JSON.parse(row.errors) as BatchError[]);
  const tasks: NewTask[] = [];
  const numbers: number[] = [];
  const check = modelCheck(config, row.endpoint, row.max_cost !== null, firstModel(store.sql));
  for (const line of lines) {
    if (errors.length >= MAX_ERRORS) break;
    const parsed = readTask(line, row.endpoint, check);
    if ("task" in parsed) {
      tasks.push(parsed.task);
      numbers.push(line.number);
    } else {
      errors.push({ ...parsed.fault, line: line.number });
    }
  }
  for (const index of addTasks(store, tasks, config.prices)) {
    const id = quoted(tasks[index]?.customId ?? "");
    errors.push({
      code: "duplicate_custom_id",
      message: `An earlier line has the custom_id '${id}'; each takes its own.`,
      param: "custom_id",
      line: numbers[index] ?? null,
    });
  }
  if (last && errors.length === 0 && store.progress().total === 0) errors.push(EMPTY_FILE);
  errors.sort((a, b) => (a.line ?? 0) - (b.line ?? 0));
  if (errors.length > 0 && (last || errors.length >= MAX_ERRORS)) {
    fail(store, row, errors.slice(0, MAX_ERRORS), nowMs);
    return;
  }
  const model = commonModel(row.model, tasks);
  if (last) {
    store.rows.begin(model, nowMs);
    return;
  }
  if (errors.length > 0) store.rows.setErrors(errors);
  if (model !== null) store.rows.setModel(model);
  const end = lines.at(-1);
  store.rows.setSource(end?.end ?? row.source_offset, end?.number ?? row.source_line);
}

type Parsed = { task: NewTask } | { fault: Omit<BatchError, "line"> };

/** A line of an input file as a task, or what is wrong with it. */
export function readTask(line: Line, endpoint: Endpoint, check: ModelCheck): Parsed {
  if ("problem" in line) {
    const message = {
      too_long: `This line is longer than ${MAX_LINE_BYTES} bytes.`,
      invalid_utf8: "This line is not valid UTF-8.",
    }[line.problem];
    return { fault: { code: line.problem, message, param: null } };
  }
  const parsed = parseLine(line.text, endpoint);
  if (!parsed.ok) return { fault: parsed.fault };
  const fault = check(parsed.task.model);
  if (fault === undefined) return { task: parsed.task };
  const param = "body.model";
  return { fault: { code: fault.code, message: `${param}: ${fault.why}`, param } };
}

/** The model all tasks share; "" once two differ; null while there are none. */
export function commonModel(before: string | null, tasks: readonly NewTask[]): string | null {
  let model = before;
  for (const task of tasks) {
    if (model === null) model = task.model ?? "";
    else if (model !== (task.model ?? "")) return "";
  }
  return model;
}

function missing(store: Store, row: BatchRow, nowMs: number): void {
  store.transaction(() => fail(store, row, [MISSING], nowMs));
}

function fail(store: Store, row: BatchRow, errors: BatchError[], nowMs: number): void {
  if (!store.rows.fail(errors, nowMs)) return;
  dropTasks(store);
  announce(store, row, "batch.failed", nowMs);
}

const MISSING: BatchError = {
  code: "file_not_found",
  message: "The input file was deleted before it was read.",
  param: "input_file_id",
  line: null,
};

/** What is wrong with an input file without lines. */
export const EMPTY_FILE: BatchError = {
  code: "empty_file",
  message: "The input file has no request lines.",
  param: "input_file_id",
  line: null,
};
