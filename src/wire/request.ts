import { whyNotJson } from "../core/json-problem.ts";
import { quoted } from "../core/quoted.ts";
import { oneLine, rawMember } from "../core/raw-json.ts";
import { estimateCall, tokensOf } from "../core/tokens.ts";
import { type BatchError, type Endpoint, MAX_MODEL_LENGTH } from "./batch.ts";
import { describeIssue } from "./issue.ts";
import { inputLine } from "./results.ts";

/** Turns a request that callers send, in a line of a file or elsewhere, into a task. */

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

/** A task that is wrong. */
export const fault = (code: string, message: string, param: string | null): Parsed => ({
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

/** A task for another endpoint than its batch's. */
export function wrongUrl(url: string, endpoint: Endpoint, at: string): { ok: false; fault: Fault } {
  const message = `The URL provided for this request, '${quoted(url)}', does not match the batch endpoint, '${endpoint}'.`;
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

/** A task that asks for a stream. */
export function streams(at: string): { ok: false; fault: Fault } {
  const message = `${at} is true; a batch takes whole answers, so leave it out.`;
  return { ok: false, fault: { code: "invalid_body", message, param: at } };
}

const encoder = new TextEncoder();

/** UTF-8 bytes of a text. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}
