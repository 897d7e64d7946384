import { createHash } from "node:crypto";
import { type Element, ElementSplitter } from "../../core/element-splitter.ts";
import { quoted } from "../../core/quoted.ts";
import {
  MAX_BODY_BYTES,
  MAX_REQUESTS,
  type MessageBatchOptions,
  readMessageRequest,
  readRestOfBody,
} from "../../wire/anthropic/request.ts";
import { ok, type Problem, type Result, refuse } from "../../wire/errors.ts";
import { MAX_BODY_BYTES as MAX_TASK_BYTES, type NewTask } from "../../wire/request.ts";
import type { StoredObject } from "../store-object.ts";

/**
 * Reads a body with up to 100,000 requests as a stream, one request at a time. Requests that are few
 * enough to cross one RPC are kept as tasks, more of them go to storage, as lines of an input file.
 */

/** Characters of bodies that are kept as tasks. An RPC carries 32 MiB, two bytes a character. */
const INLINE_LENGTH = 8 * 1024 * 1024;
/** A request holds the task's body and a little around it. */
const MAX_ELEMENT_BYTES = MAX_TASK_BYTES + 4 * 1024;
/** Everything but the requests. */
const MAX_REST_BYTES = 64 * 1024;

/** A body that is good, all of it. */
export interface Taken {
  options: MessageBatchOptions;
  /** Undefined when they are in storage. */
  tasks: NewTask[] | undefined;
  stored: StoredObject | undefined;
  /** How many requests there are. */
  count: number;
  /** The first request of each model, by its index. */
  models: ReadonlyMap<string | undefined, number>;
  /** Of the body, in hex. */
  sha256: string;
}

/** Where lines go that are too many to be kept. */
export type Keep = (lines: AsyncIterable<Uint8Array>) => Promise<StoredObject | undefined>;

/**
 * @param unserved why nobody can be called for a model, or undefined.
 * @param keep what it stores is of no use when the body is refused after all.
 */
export async function takeRequests(
  request: Request,
  unserved: (model: string | undefined) => string | undefined,
  keep: Keep,
): Promise<Result<Taken>> {
  const intake = new Intake(unserved);
  const source = intake.read(request);
  const kept: NewTask[] = [];
  let length = 0;
  let stored: StoredObject | undefined;
  for (;;) {
    const { done, value } = await source.next();
    if (done) break;
    for (const task of value) {
      kept.push(task);
      length += task.body.length;
    }
    if (length <= INLINE_LENGTH) continue;
    stored = await keep(linesOf(kept, source));
    // It was longer than storage takes; that was read to its end all the same.
    if (stored === undefined) intake.refuse(TOO_LARGE);
    break;
  }
  return intake.taken(stored === undefined ? kept : undefined, stored);
}

const TOO_LARGE: Problem = {
  code: "too_large",
  message: `The body is longer than ${MAX_BODY_BYTES} bytes. Split it into several batches.`,
};

/** Lines of an input file, as ingest reads them. */
async function* linesOf(
  first: NewTask[],
  rest: AsyncGenerator<NewTask[]>,
): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  const encode = (tasks: readonly NewTask[]) =>
    encoder.encode(
      tasks
        .map(
          ({ customId, body }) =>
            `{"custom_id":"${customId}","method":"POST","url":"/v1/messages","body":${body}}\n`,
        )
        .join(""),
    );
  // In pieces: what was kept so far is as much as may be kept.
  while (first.length > 0) yield encode(first.splice(0, 1_000));
  for await (const tasks of rest) yield encode(tasks);
}

class Intake {
  readonly #unserved: (model: string | undefined) => string | undefined;
  readonly #splitter = new ElementSplitter({
    member: "requests",
    maxElementBytes: MAX_ELEMENT_BYTES,
    maxRestBytes: MAX_REST_BYTES,
  });
  readonly #hash = createHash("sha256");
  readonly #seen = new Set<string>();
  readonly #models = new Map<string | undefined, number>();
  #count = 0;
  /** The first thing that was wrong, and how many more requests are. */
  #problem: Problem | undefined;
  #others = 0;

  constructor(unserved: (model: string | undefined) => string | undefined) {
    this.#unserved = unserved;
  }

  /**
   * The tasks of the body as they come; none after something was wrong. The body is read to its end
   * all the same, as far as it may go, to count what else is wrong.
   */
  async *read(request: Request): AsyncGenerator<NewTask[]> {
    if (request.body === null) return;
    const reader = request.body.getReader();
    let bytes = 0;
    try {
      for (;;) {
        const { done, value } = await this.#next(reader);
        if (done) return;
        bytes += value.byteLength;
        if (bytes > MAX_BODY_BYTES) {
          this.refuse(TOO_LARGE);
          return;
        }
        this.#hash.update(value);
        // Too many requests are refused, whatever they are: the rest is only read.
        if (this.#count > MAX_REQUESTS) continue;
        const tasks = this.#splitter.push(value).flatMap((element) => this.#taskOf(element) ?? []);
        if (tasks.length > 0 && this.#problem === undefined) yield tasks;
      }
    } finally {
      reader.releaseLock();
    }
  }

  /** Notes what is wrong; what was noted first stays. */
  refuse(problem: Problem): void {
    if (this.#problem !== undefined) this.#others += 1;
    this.#problem ??= problem;
  }

  /** What the body came to, once all of it was read. */
  taken(tasks: NewTask[] | undefined, stored: StoredObject | undefined): Result<Taken> {
    if (this.#problem !== undefined) {
      const more = this.#others === 0 ? "" : ` (and ${this.#others} more)`;
      const { message, ...problem } = this.#problem;
      return { ok: false, problem: { ...problem, message: `${message}${more}` } };
    }
    const text = this.#splitter.rest();
    if (text === undefined) {
      const takes = `The body takes at most ${MAX_REST_BYTES} bytes of UTF-8 beside its requests.`;
      return refuse("invalid_request", takes);
    }
    const rest = readRestOfBody(text);
    if (!rest.ok) return refuse("invalid_request", rest.message);
    if (this.#splitter.arrays > 1) {
      return refuse("invalid_request", "requests: the body has this member more than once.");
    }
    if (this.#count === 0) {
      return refuse("invalid_request", "requests: a batch takes at least one request.");
    }
    const sha256 = this.#hash.digest("hex");
    return ok({
      options: rest.value,
      tasks,
      stored,
      count: this.#count,
      models: this.#models,
      sha256,
    });
  }

  async #next(
    reader: ReadableStreamDefaultReader<Uint8Array>,
  ): Promise<{ done: false; value: Uint8Array } | { done: true; value?: undefined }> {
    try {
      const read = await reader.read();
      return read.done ? { done: true } : read;
    } catch (error) {
      const message = `The body broke off: ${String(error)}.`;
      this.refuse({ code: "invalid_request", message });
      return { done: true };
    }
  }

  #taskOf(element: Element): NewTask | undefined {
    const index = this.#count;
    this.#count += 1;
    const at = `requests.${index}`;
    const wrong = (message: string) => this.refuse({ code: "invalid_request", message });
    if (index >= MAX_REQUESTS) {
      if (index === MAX_REQUESTS) {
        wrong(`requests: a batch takes at most ${MAX_REQUESTS} requests. Split it into several.`);
      }
      return undefined;
    }
    if ("problem" in element) {
      const what = {
        too_long: `this request is longer than ${MAX_TASK_BYTES} bytes, the most one task takes.`,
        invalid_utf8: "this request is not valid UTF-8.",
      }[element.problem];
      wrong(`${at}: ${what}`);
      return undefined;
    }
    const read = readMessageRequest(element.text, index);
    if (!read.ok) {
      wrong(read.message);
      return undefined;
    }
    const task = read.value;
    const why = this.#unserved(task.model);
    if (why !== undefined) {
      wrong(`${at}.params.model: ${why}`);
      return undefined;
    }
    if (this.#seen.has(task.customId)) {
      const id = quoted(task.customId);
      wrong(`${at}.custom_id: an earlier request has the custom_id '${id}'; each takes its own.`);
      return undefined;
    }
    this.#seen.add(task.customId);
    if (!this.#models.has(task.model)) this.#models.set(task.model, index);
    return task;
  }
}
