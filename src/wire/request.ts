import type { z } from "zod";
import { arrayElements, objectMembers, oneLine, rawMember } from "../core/raw-json.ts";
import { estimateTokens } from "../core/tokens.ts";
import type { BatchError, Endpoint, fromPrompts, fromRequests } from "./batch.ts";
import { inputLine } from "./results.ts";

/** Turns what callers send, a JSONL line or a body with inline tasks, into tasks. */

/** A task on its way in. */
export interface NewTask {
  customId: string;
  /** The request body as JSON text on one line; sent upstream as it stands. */
  body: string;
  /** Estimated tokens, see core/tokens.ts. */
  cost: number;
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

type Parsed = { ok: true; task: NewTask } | { ok: false; fault: Fault };

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
    return fault("invalid_json_line", `This line is not JSON: ${messageOf(error)}.`, null);
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
    const { param, message } = describeIssue(line.error);
    return fault(`invalid_${param.split(".")[0] || "line"}`, message, param || null);
  }
  if (line.data.url !== endpoint) {
    return fault(
      "mismatched_url",
      `url is '${line.data.url}', but the batch's endpoint is '${endpoint}'; all lines take that one.`,
      "url",
    );
  }
  const span = rawMember(text, "body");
  if (span === undefined) throw new Error("a validated line has no body");
  return toTask(line.data.custom_id, text.slice(span.start, span.end), line.data.body, endpoint);
}

function toTask(
  customId: string,
  raw: string,
  body: Record<string, unknown>,
  endpoint: Endpoint,
): Parsed {
  if (body["stream"] === true) {
    return fault(
      "invalid_body",
      "body.stream is true; a batch takes whole answers, so leave it out.",
      "body.stream",
    );
  }
  const text = oneLine(raw);
  // A UTF-16 unit is at most three bytes: only long bodies are worth counting.
  if (text.length * 3 > MAX_BODY_BYTES && byteLength(text) > MAX_BODY_BYTES) {
    return fault(
      "body_too_large",
      `body is longer than ${MAX_BODY_BYTES} bytes, the most one task takes.`,
      "body",
    );
  }
  const model = body["model"];
  return {
    ok: true,
    task: {
      customId,
      body: text,
      cost: estimateTokens(endpoint, body),
      model: typeof model === "string" ? model : undefined,
    },
  };
}

type Inline = { ok: true; tasks: NewTask[] } | { ok: false; faults: Fault[] };

/**
 * The tasks of a body with `requests`, already checked by its schema. A request without `custom_id`
 * gets `task-N`, N its index.
 *
 * @param text the body as it was sent, from which the request bodies are taken unchanged.
 */
export function tasksOfRequests(text: string, body: z.infer<typeof fromRequests>): Inline {
  const tasks: NewTask[] = [];
  const faults: Fault[] = [];
  const seen = new Set<string>();
  const list = rawMember(text, "requests");
  if (list === undefined) throw new Error("a validated body has no requests");
  let index = 0;
  for (const element of arrayElements(text, list.start)) {
    const at = `requests[${index}]`;
    const request = body.requests[index];
    const span = rawMember(text, "body", element.start);
    if (request === undefined || span === undefined) throw new Error(`${at} was not validated`);
    const customId = request.custom_id ?? `task-${index}`;
    const parsed = toTask(customId, text.slice(span.start, span.end), request.body, body.endpoint);
    if (!parsed.ok) {
      const { param, message, code } = parsed.fault;
      faults.push({ code, message: `${at}: ${message}`, param: `${at}.${param}` });
    } else if (seen.has(customId)) {
      faults.push({
        code: "duplicate_custom_id",
        message: `${at}: an earlier request has the custom_id '${customId}'; each takes its own.`,
        param: `${at}.custom_id`,
      });
    } else {
      seen.add(customId);
      tasks.push(parsed.task);
    }
    index += 1;
  }
  return faults.length > 0 ? { ok: false, faults } : { ok: true, tasks };
}

/** Members of a body with `prompts` that are about the batch; all others go into each request. */
const OPTIONS = new Set([
  "prompts",
  "metadata",
  "completion_window",
  "max_concurrency",
  "priority",
  "webhook",
]);

/** The tasks of a body with `prompts`, already checked by its schema: `task-N`, N the index. */
export function tasksOfPrompts(text: string, body: z.infer<typeof fromPrompts>): Inline {
  const shared: string[] = [];
  for (const { key, start, end } of objectMembers(text)) {
    if (!OPTIONS.has(key)) shared.push(`${JSON.stringify(key)}:${text.slice(start, end)}`);
  }
  const { prompts, ...settings } = body;
  const list = rawMember(text, "prompts");
  if (list === undefined) throw new Error("a validated body has no prompts");
  const tasks: NewTask[] = [];
  let index = 0;
  for (const { start, end } of arrayElements(text, list.start)) {
    const raw = `{${shared.join(",")},"messages":[{"role":"user","content":${text.slice(start, end)}}]}`;
    const content = prompts[index] ?? "";
    const request = { ...settings, messages: [{ role: "user", content }] };
    const parsed = toTask(`task-${index}`, raw, request, "/v1/chat/completions");
    if (!parsed.ok) {
      const { code, message } = parsed.fault;
      const param = code === "body_too_large" ? `prompts[${index}]` : parsed.fault.param;
      return { ok: false, faults: [{ code, message: `prompts[${index}]: ${message}`, param }] };
    }
    tasks.push(parsed.task);
    index += 1;
  }
  return { ok: true, tasks };
}

/** A schema's first issue: the field as a path (`requests[3].body`), and a sentence that names it. */
export function describeIssue(error: z.ZodError): { param: string; message: string } {
  const [issue] = error.issues;
  if (issue === undefined) return { param: "", message: "The body is not valid." };
  const param = issue.path.reduce<string>(
    (path, step) =>
      typeof step === "number"
        ? `${path}[${step}]`
        : path === ""
          ? String(step)
          : `${path}.${String(step)}`,
    "",
  );
  const what = issue.message.replace(/^Invalid (input|option): /, "");
  return { param, message: `${param || "The body"}: ${what}.`.replace(/\.\.$/, ".") };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const encoder = new TextEncoder();

/** UTF-8 bytes of a text. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}
