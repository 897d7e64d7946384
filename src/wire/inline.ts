import { ZodError, type z } from "zod";
import { nearest } from "../core/nearest.ts";
import { quoted } from "../core/quoted.ts";
import { arrayElements, objectMembers, rawMember } from "../core/raw-json.ts";
import {
  type aroundPrompts,
  type aroundRequests,
  fromPrompts,
  inlineRequest,
  type PromptEndpoint,
} from "./batch.ts";
import { describeIssue } from "./issue.ts";
import {
  type Fault,
  fault,
  MAX_BODY_BYTES,
  type NewTask,
  type Parsed,
  streams,
  toTask,
  wrongUrl,
} from "./request.ts";

/** Turns a body with inline tasks, prompts or requests, into tasks. */

/** What is wrong with one inline task, and which it is. */
export type InlineFault = Fault & { index: number };

/** Inline tasks, or what is wrong with them, beside those that are right. */
export type Inline =
  | { ok: true; tasks: NewTask[] }
  | {
      ok: false;
      /** In their order. */
      faults: InlineFault[];
      /** How many more there are, up to {@link MAX_FAULTS} in all. */
      others: number;
      tasks: NewTask[];
      /** Which each of the tasks is. */
      places: number[];
    };

/** Faults of one body that are kept; the others are counted. */
const KEPT_FAULTS = 100;
/** A body with so many is read no further: a million of them would take seconds of everybody's. */
export const MAX_FAULTS = 1_000;

/**
 * Bytes that all inline tasks take together at most, as {@link callBytes} counts them: they cross
 * one RPC, whose limit is 32 MiB. Prompts repeat their settings, so a short body may exceed it.
 */
const MAX_INLINE_BYTES = 31 * 1024 * 1024;

/** About what a task takes in an RPC: its text as Latin-1 where it can be, else as UTF-16. */
function callBytes({ customId, body, model = "" }: NewTask): number {
  const width = /[\u0100-\uffff]/.test(body) ? 2 : 1;
  return 64 + width * body.length + 2 * (customId.length + model.length);
}

/** Gathers the tasks of one body, and what is wrong with others. */
class Gathering {
  readonly #member: "prompts" | "requests";
  readonly #tasks: NewTask[] = [];
  readonly #places: number[] = [];
  readonly #faults: InlineFault[] = [];
  #faultsInAll = 0;
  #bytes = 0;

  constructor(member: "prompts" | "requests") {
    this.#member = member;
  }

  /** Takes what came of one. */
  add(index: number, parsed: Parsed): void {
    if (parsed.ok) {
      this.#bytes += callBytes(parsed.task);
      // More than one RPC takes is refused as a whole: no need to hold it.
      if (this.#isTooLarge) return;
      this.#tasks.push(parsed.task);
      this.#places.push(index);
    } else {
      this.#faultsInAll += 1;
      if (this.#faults.length < KEPT_FAULTS) this.#faults.push({ ...parsed.fault, index });
    }
  }

  /** Whether the rest of the body changes nothing. */
  get isOver(): boolean {
    return this.#isTooLarge || this.#faultsInAll >= MAX_FAULTS;
  }

  get #isTooLarge(): boolean {
    return this.#bytes > MAX_INLINE_BYTES;
  }

  end(): Inline {
    if (this.#isTooLarge) {
      const message = `${this.#member} make tasks of more than ${MAX_INLINE_BYTES} bytes together.`;
      return onlyFault({ code: "too_large", message, param: this.#member });
    }
    if (this.#faultsInAll === 0) return { ok: true, tasks: this.#tasks };
    return {
      ok: false,
      faults: this.#faults,
      others: this.#faultsInAll - this.#faults.length,
      tasks: this.#tasks,
      places: this.#places,
    };
  }
}

/** What is wrong with the body, and so with no task in particular. */
function onlyFault(fault: Fault): Inline {
  return { ok: false, faults: [{ ...fault, index: 0 }], others: 0, tasks: [], places: [] };
}

/**
 * The tasks of a body with `requests`, already checked around them by its schema. A request without
 * `custom_id` gets `task-N`, N its index.
 *
 * @param text the body as it was sent, from which the request bodies are taken unchanged.
 */
export function tasksOfRequests(text: string, body: z.infer<typeof aroundRequests>): Inline {
  const gathering = new Gathering("requests");
  const seen = new Set<string>();
  const list = rawMember(text, "requests");
  if (list === undefined) throw new Error("a validated body has no requests");
  let index = 0;
  for (const element of arrayElements(text, list.start)) {
    const parsed = readRequest(text, element.start, body, index);
    if (parsed.ok && seen.has(parsed.task.customId)) {
      const at = `requests[${index}]`;
      const message = `${at}: an earlier request has the custom_id '${quoted(parsed.task.customId)}'; each takes its own.`;
      gathering.add(index, fault("duplicate_custom_id", message, `${at}.custom_id`));
    } else {
      if (parsed.ok) seen.add(parsed.task.customId);
      gathering.add(index, parsed);
    }
    if (gathering.isOver) break;
    index += 1;
  }
  return gathering.end();
}

/** One of `requests`, whose text starts there. */
function readRequest(
  text: string,
  start: number,
  body: z.infer<typeof aroundRequests>,
  index: number,
): Parsed {
  const at = `requests[${index}]`;
  const parsed = inlineRequest.safeParse(body.requests[index]);
  if (!parsed.success) return wrongElement(parsed.error, "requests", index, body);
  const { custom_id = `task-${index}`, url = body.endpoint } = parsed.data;
  if (url !== body.endpoint) return wrongUrl(url, body.endpoint, `${at}.url`);
  const span = rawMember(text, "body", start);
  if (span === undefined) throw new Error(`${at} was not validated`);
  const raw = text.slice(span.start, span.end);
  return toTask(custom_id, raw, parsed.data.body, body.endpoint, `${at}.body`);
}

/** A fault by what a schema found wrong with one element of a body's list. */
function wrongElement(
  error: z.ZodError,
  member: "prompts" | "requests",
  index: number,
  body: object,
): Parsed {
  const [issue] = error.issues;
  const path = [member, index, ...(issue?.path ?? [])];
  const whole = new ZodError(issue === undefined ? [] : [{ ...issue, path }]);
  const { param, message, reason } = describeIssue(whole, body);
  const what = String(issue?.path[0] ?? member.slice(0, -1));
  return fault(reason ?? `invalid_${what}`, message, param);
}

/** Members of a body with `prompts` that are about the batch; all others go into each request. */
const OPTIONS = Object.keys(fromPrompts.shape).filter((name) => name !== "model");
const prompt = fromPrompts.shape.prompts.element;
/**
 * Members of such a body that are compared with the options. Each takes some ten microseconds, and no
 * upstream has a tenth of so many settings.
 */
const COMPARED_MEMBERS = 1_000;

/** The tasks of a body with `prompts`, already checked around them by its schema: `task-N`, N the index. */
export function tasksOfPrompts(
  text: string,
  body: z.infer<typeof aroundPrompts>,
  endpoint: PromptEndpoint,
): Inline {
  if (body.stream === true) return onlyFault(streams("stream").fault);
  if ("messages" in body) {
    const message =
      "messages does not go with prompts, each of which is a message of its own. Send requests for anything else.";
    return onlyFault({ code: "invalid_request", message, param: "messages" });
  }
  if (endpoint === "/v1/messages" && typeof body.max_tokens !== "number") {
    const message = "max_tokens: takes a number, without which /v1/messages refuses every request.";
    return onlyFault({ code: "missing_required_parameter", message, param: "max_tokens" });
  }
  const shared: string[] = [];
  let members = 0;
  let length = 0;
  for (const { key, start, end } of objectMembers(text)) {
    members += 1;
    if (OPTIONS.includes(key)) continue;
    const meant = members <= COMPARED_MEMBERS ? nearest(key, OPTIONS) : undefined;
    if (meant !== undefined) return misspelt(key, meant);
    shared.push(`${JSON.stringify(key)}:${text.slice(start, end)}`);
    length += shared.at(-1)?.length ?? 0;
    if (length > MAX_BODY_BYTES) return tooLargeBesidePrompts();
  }
  const { prompts, ...settings } = body;
  // Made once: there may be many of them, and many prompts.
  const head = shared.join(",");
  const request: Record<string, unknown> = settings;
  const list = rawMember(text, "prompts");
  if (list === undefined) throw new Error("a validated body has no prompts");
  const gathering = new Gathering("prompts");
  let index = 0;
  for (const { start, end } of arrayElements(text, list.start)) {
    const content = prompt.safeParse(prompts[index]);
    if (content.success) {
      const raw = `{${head},"messages":[{"role":"user","content":${text.slice(start, end)}}]}`;
      request.messages = [{ role: "user", content: content.data }];
      gathering.add(index, toTask(`task-${index}`, raw, request, endpoint, `prompts[${index}]`));
    } else {
      gathering.add(index, wrongElement(content.error, "prompts", index, body));
    }
    if (gathering.isOver) break;
    index += 1;
  }
  return gathering.end();
}

/**
 * A setting of the batch that is misspelt would go into each request, where the upstream refuses it
 * or, worse, does not.
 */
function misspelt(key: string, meant: string): Inline {
  const message = `Unknown parameter: '${key}'. Did you mean '${meant}'?`;
  return onlyFault({ code: "unknown_parameter", message, param: key });
}

/** Each request has all of these members, so none of them would fit. */
function tooLargeBesidePrompts(): Inline {
  const message = `The members beside prompts are longer than ${MAX_BODY_BYTES} bytes together, the most one task takes.`;
  return onlyFault({ code: "body_too_large", message, param: null });
}
