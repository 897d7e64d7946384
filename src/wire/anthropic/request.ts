import { z } from "zod";
import { whyNotJson } from "../../core/json-problem.ts";
import { rawMember } from "../../core/raw-json.ts";
import { fromFile } from "../batch.ts";
import { describeIssue } from "../issue.ts";
import { parseInput } from "../parse.ts";
import { type NewTask, toTask } from "../request.ts";
import { strict } from "../strict.ts";

/** What a client sends to Anthropic's door, and how its faults are told there. */

/** The limits of Anthropic's own API. */
export const MAX_REQUESTS = 100_000;
export const MAX_BODY_BYTES = 256 * 1024 * 1024;

const CUSTOM_ID_TAKES = "1 to 64 of a-z A-Z 0-9 _ -";

const request = strict({
  custom_id: z
    .string()
    .regex(/^[a-zA-Z0-9_-]{1,64}$/, CUSTOM_ID_TAKES)
    .meta({ description: "Unique in its batch." }),
  params: z.record(z.string(), z.unknown()).meta({
    description:
      "A body of `/v1/messages`. It is passed on as it is, except that it must not stream.",
  }),
});

// The official client has nothing but `requests`; the rest is that of Muster's other doors.
const { input_file_id: _, endpoint: __, ...options } = fromFile.shape;

/** A whole body, for the document. It is read in pieces: its `requests` one by one, then the rest. */
export const createMessageBatch = strict({
  requests: z.array(request).min(1).max(MAX_REQUESTS),
  ...options,
}).meta({ id: "CreateMessageBatch" });

/** A body without the elements of its `requests`. */
const restOfBody = strict({
  requests: z.array(z.unknown(), { error: "a list of {custom_id, params}" }),
  ...options,
});
export type MessageBatchOptions = Omit<z.infer<typeof restOfBody>, "requests">;

type Read<T> = { ok: true; value: T } | { ok: false; message: string };

/**
 * Reads one request. Faults name the field by its path as Anthropic writes it, such as
 * `requests.3.custom_id: …`.
 */
export function readMessageRequest(text: string, index: number): Read<NewTask> {
  const at = `requests.${index}`;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const why = whyNotJson(error);
    return { ok: false, message: `${at}: this is not JSON: ${why}.` };
  }
  const parsed = request.safeParse(json);
  if (!parsed.success) {
    const { param, message } = describeIssue(parsed.error, json);
    // Parameters are named in quotes, or at the beginning with a colon behind them.
    const named = `${param || "The body"}: `;
    const what = message.startsWith(named) ? message.slice(named.length) : message;
    return { ok: false, message: `${dotted(param === "" ? at : `${at}.${param}`)}: ${what}` };
  }
  const span = rawMember(text, "params");
  if (span === undefined) throw new Error("a validated request has no params");
  const { custom_id, params } = parsed.data;
  const raw = text.slice(span.start, span.end);
  const task = toTask(custom_id, raw, params, "/v1/messages", `${at}.params`);
  return task.ok ? { ok: true, value: task.task } : { ok: false, message: task.fault.message };
}

/** Reads what a body has beside its requests, as text in which `requests` is empty. */
export function readRestOfBody(text: string): Read<MessageBatchOptions> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Where it is wrong cannot be told: the requests are not in the text any more.
    const takes = '{"requests": [{"custom_id": "…", "params": {…}}]}';
    return { ok: false, message: `The body is not JSON. It takes ${takes}.` };
  }
  const parsed = parseInput(restOfBody, json);
  if (!parsed.success)
    return { ok: false, message: dotted(describeIssue(parsed.error, json).message) };
  const { requests: _, ...options } = parsed.data;
  return { ok: true, value: options };
}

/** `requests[3].body` as Anthropic writes it: `requests.3.body`. */
function dotted(path: string): string {
  return path.replace(/\[(\d+)\]/g, ".$1");
}
