import { ZodError, type z } from "zod";
import { whyNotJson } from "../core/json-problem.ts";
import { nearest } from "../core/nearest.ts";
import { arrayElements, objectMembers, oneLine, rawMember } from "../core/raw-json.ts";
import { estimateCall, tokensOf } from "../core/tokens.ts";
import {
  type aroundPrompts,
  type aroundRequests,
  type BatchError,
  type Endpoint,
  fromPrompts,
  inlineRequest,
  MAX_MODEL_LENGTH,
  type PromptEndpoint,
} from "./batch.ts";
import { inputLine } from "./results.ts";

/** Turns what callers send, a JSONL line or a body with inline tasks, into tasks. */

/** A task on its way in. */
export interface NewTask {
  customId: string;
  /** The request body as JSON text on one line; sent upstream as it stands. */
  body: string;
  /** Estimated tokens in all, and apart; see core/tokens.ts. */
  cost: number;
  inputTokens: number;
  /** What the body allows the answer; null when it says nothing. */
  outputTokens: number | null;
  /** The body's `model`, if it has one. */
  model: string | undefined;
}

/** What is wrong with one task. `line` is filled in by who knows it. */
export type Fault = Omit<BatchError, "line">;

/**
 * Bytes of one task's body at most. A SQLite row of an object holds 2 MB (not enforced by the local
 * simulator, so it is enforced here), and the outcome's row needs room around an answer.
 */
export const MAX_BODY_BYTES = 1_900_000;
/** A line of a file holds the body and a little around it. */
export const MAX_LINE_BYTES = MAX_BODY_BYTES + 64 * 1024;

export type Parsed = { ok: true; task: NewTask } | { ok: false; fault: Fault };

const fault = (code: string, message: string, param: string | null): Parsed => ({
  ok: false,
  fault: { code, message, param },
});

/** Reads one line of an input file. */
export function parseLine(text: string, endpoint: Endpoint): Parsed {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return fault("invalid_json_line", `This line is not JSON: ${whyNotJson(error)}.`, null);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    return fault(
      "invalid_json_line",
      'A line is a JSON object: {"custom_id":"…","method":"POST","url":"…","body":{…}}.',
      null,
    );
  }
  const line = inputLine.safeParse(json);
  if (!line.success) {
    const { param, message, reason } = describeIssue(line.error, json);
    return fault(reason ?? `invalid_${param.split(".")[0] || "line"}`, message, param || null);
  }
  if (line.data.url !== endpoint) return wrongUrl(line.data.url, endpoint, "url");
  const span = rawMember(text, "body");
  if (span === undefined) throw new Error("a validated line has no body");
  const raw = text.slice(span.start, span.end);
  return toTask(line.data.custom_id, raw, line.data.body, endpoint, "body");
}

function wrongUrl(url: string, endpoint: Endpoint, at: string): { ok: false; fault: Fault } {
  const message = `The URL provided for this request, '${url}', does not match the batch endpoint, '${endpoint}'.`;
  return { ok: false, fault: { code: "invalid_url", message, param: at } };
}

/**
 * A request body as a task.
 *
 * @param raw its text, as it came.
 * @param at how a fault names the body.
 */
export function toTask(
  customId: string,
  raw: string,
  body: Record<string, unknown>,
  endpoint: Endpoint,
  at: string,
): Parsed {
  if (body.stream === true) return streams(`${at}.stream`);
  const text = oneLine(raw);
  // A UTF-16 unit is at most three bytes: only long bodies are worth counting.
  if (text.length * 3 > MAX_BODY_BYTES && byteLength(text) > MAX_BODY_BYTES) {
    return fault(
      "body_too_large",
      `${at} is longer than ${MAX_BODY_BYTES} bytes, the most one task takes.`,
      at,
    );
  }
  const model = body.model;
  if (typeof model === "string" && model.length > MAX_MODEL_LENGTH) {
    const message = `${at}.model takes at most ${MAX_MODEL_LENGTH} characters.`;
    return fault("invalid_body", message, `${at}.model`);
  }
  return {
    ok: true,
    task: {
      customId,
      body: text,
      ...estimateTask(endpoint, body),
      model: typeof model === "string" ? model : undefined,
    },
  };
}

function estimateTask(
  endpoint: Endpoint,
  body: unknown,
): Pick<NewTask, "cost" | "inputTokens" | "outputTokens"> {
  const estimate = estimateCall(endpoint, body);
  return { ...estimate, cost: tokensOf(estimate) };
}

function streams(at: string): { ok: false; fault: Fault } {
  const message = `${at} is true; a batch takes whole answers, so leave it out.`;
  return { ok: false, fault: { code: "invalid_body", message, param: at } };
}

/** What is wrong with one inline task, and which it is. */
export type InlineFault = Fault & { index: number };

/** Inline tasks, or what is wrong with them, beside those that are right. */
export type Inline =
  | { ok: true; tasks: NewTask[] }
  | {
      ok: false;
      /** In their order. */
      faults: InlineFault[];
      /** How many more there are. */
      others: number;
      tasks: NewTask[];
      /** Which each of the tasks is. */
      places: number[];
    };

/** Faults of one body that are kept; the others are counted. */
const KEPT_FAULTS = 100;

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
      if (this.isTooLarge) return;
      this.#tasks.push(parsed.task);
      this.#places.push(index);
    } else {
      this.#faultsInAll += 1;
      if (this.#faults.length < KEPT_FAULTS) this.#faults.push({ ...parsed.fault, index });
    }
  }

  get isTooLarge(): boolean {
    return this.#bytes > MAX_INLINE_BYTES;
  }

  end(): Inline {
    if (this.isTooLarge) {
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
      const message = `${at}: an earlier request has the custom_id '${parsed.task.customId}'; each takes its own.`;
      gathering.add(index, fault("duplicate_custom_id", message, `${at}.custom_id`));
    } else {
      if (parsed.ok) seen.add(parsed.task.customId);
      gathering.add(index, parsed);
    }
    if (gathering.isTooLarge) break;
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
  for (const { key, start, end } of objectMembers(text)) {
    const meant = nearest(key, OPTIONS);
    if (meant !== undefined && !OPTIONS.includes(key)) return misspelt(key, meant);
    if (!OPTIONS.includes(key)) shared.push(`${JSON.stringify(key)}:${text.slice(start, end)}`);
  }
  const { prompts, ...settings } = body;
  const list = rawMember(text, "prompts");
  if (list === undefined) throw new Error("a validated body has no prompts");
  const gathering = new Gathering("prompts");
  let index = 0;
  for (const { start, end } of arrayElements(text, list.start)) {
    const content = prompt.safeParse(prompts[index]);
    if (content.success) {
      const raw = `{${shared.join(",")},"messages":[{"role":"user","content":${text.slice(start, end)}}]}`;
      const request = { ...settings, messages: [{ role: "user", content: content.data }] };
      gathering.add(index, toTask(`task-${index}`, raw, request, endpoint, `prompts[${index}]`));
    } else {
      gathering.add(index, wrongElement(content.error, "prompts", index, body));
    }
    if (gathering.isTooLarge) break;
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

/** What a schema found wrong: where, a sentence that says so, and OpenAI's code if it has one. */
export interface Issue {
  /** The field as a path, such as `requests[3].body`; "" for the whole. */
  param: string;
  message: string;
  reason: "missing_required_parameter" | "unknown_parameter" | undefined;
}

/**
 * A schema's first issue.
 *
 * @param value what was checked; without it a missing field is not told from a wrong one.
 */
export function describeIssue(error: z.ZodError, value?: unknown): Issue {
  const [issue] = error.issues;
  if (issue === undefined) {
    return { param: "", message: "The body is not valid.", reason: undefined };
  }
  if (issue.code === "unrecognized_keys") {
    const param = pathOf([...issue.path, ...issue.keys.slice(0, 1)]);
    const what = issue.message.startsWith("Unrecognized key") ? "" : sentence(issue.message);
    const message = `Unknown parameter: '${param}'. ${what}`.trim();
    return { param, message, reason: "unknown_parameter" };
  }
  const param = pathOf(issue.path);
  const takes = takesOf(issue);
  if (value !== undefined && param !== "" && isMissing(value, issue.path)) {
    // The schema's own words only say that it was undefined.
    const what = issue.message.startsWith("Invalid input") ? "" : sentence(`it takes ${takes}`);
    const message = `Missing required parameter: '${param}'. ${what}`.trim();
    return { param, message, reason: "missing_required_parameter" };
  }
  const message = `${param || "The body"}: ${takes}.`.replace(/\.\.$/, ".");
  return { param, message, reason: undefined };
}

/** What a field takes: a schema's own words, or zod's without what only its users know. */
function takesOf(issue: z.core.$ZodIssue): string {
  if (issue.code === "too_small" && issue.message.startsWith("Too small")) {
    return `at least ${amount(issue.minimum, issue.origin)}`;
  }
  if (issue.code === "too_big" && issue.message.startsWith("Too big")) {
    return `at most ${amount(issue.maximum, issue.origin)}`;
  }
  if (issue.code === "invalid_value" && issue.message.startsWith("Invalid")) {
    const values = issue.values.map((value) => JSON.stringify(value)).join(", ");
    return issue.values.length === 1 ? `only ${values}` : `one of ${values}`;
  }
  return issue.message
    .replace(/^Invalid (input|option): /, "")
    .replace(/^expected record\b/, "expected object")
    .replace(/^expected int\b/, "expected a whole number");
}

/** Of what a bound is: a number itself, or how many there are of something. */
function amount(bound: number | bigint, origin: string): string {
  const unit = { string: "character", array: "element" }[origin];
  return unit === undefined ? `${bound}` : `${bound} ${unit}${Number(bound) === 1 ? "" : "s"}`;
}

function pathOf(steps: readonly PropertyKey[]): string {
  return steps.reduce<string>(
    (path, step) =>
      typeof step === "number"
        ? `${path}[${step}]`
        : path === ""
          ? String(step)
          : `${path}.${String(step)}`,
    "",
  );
}

function isMissing(value: unknown, steps: readonly PropertyKey[]): boolean {
  let at: unknown = value;
  for (const step of steps) {
    if (typeof at !== "object" || at === null) return false;
    at = Object.hasOwn(at, step) ? (at as Record<PropertyKey, unknown>)[step] : undefined;
  }
  return at === undefined;
}

function sentence(words: string): string {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.?]$/.test(text) ? text : `${text}.`;
}

const encoder = new TextEncoder();

/** UTF-8 bytes of a text. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}
