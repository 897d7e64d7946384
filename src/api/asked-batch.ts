import type { z } from "zod";
import { promptEndpointOf } from "../config/routes.ts";
import type { Config } from "../config.ts";
import { whyNotJson } from "../core/json-problem.ts";
import {
  aroundPrompts,
  aroundRequests,
  type BatchOptions,
  type Endpoint,
  fromFile,
} from "../wire/batch.ts";
import { type CallHeaders, callHeadersOf } from "../wire/call-headers.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import { type Inline, MAX_FAULTS, tasksOfPrompts, tasksOfRequests } from "../wire/inline.ts";
import { describeIssue } from "../wire/issue.ts";
import { parseInput } from "../wire/parse.ts";
import type { NewTask } from "../wire/request.ts";

export const USE_A_FILE = "Upload the tasks as a file (POST /v1/files) and send its input_file_id.";

/** Inline tasks of which some are wrong. */
type Wrong = Exclude<Inline, { ok: true }>;

/** What the three kinds of body have in common, and where the tasks come from. */
export interface Asked {
  endpoint: Endpoint;
  /** What each call carries as the client sent it. */
  callHeaders: CallHeaders | null;
  /** How many tasks the file has, where that is known. */
  announced: number | null;
  options: BatchOptions;
  inputFileId: string | null;
  tasks: NewTask[] | null;
  /** What is wrong with other tasks, for a check that takes those that are right all the same. */
  wrong?: Wrong;
  /** The tasks' settings, and so their model, are members of the body itself. */
  shared: boolean;
}

/** @param all takes the right tasks of a body where others are wrong, with what is wrong. */
export function readBody(
  text: string,
  headers: Headers,
  config: Config,
  all: boolean,
): Result<Asked> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const why = whyNotJson(error, text);
    return refuse("invalid_request", `The body is not JSON: ${why}.`, undefined, "invalid_json");
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    return refuse("invalid_request", "The body takes a JSON object.");
  }
  const kinds = ["prompts", "requests", "input_file_id"].filter((name) => name in json);
  if (kinds.length !== 1) {
    const have = kinds.length === 0 ? "none" : kinds.join(" and ");
    return refuse(
      "invalid_request",
      `The body takes one of prompts, requests or input_file_id; it has ${have}.`,
      kinds[0] ?? "prompts",
    );
  }
  switch (kinds[0]) {
    case "prompts": {
      const body = parseInput(aroundPrompts, json);
      if (!body.success) return invalid(body.error, json);
      const serving = config.upstreams.map(({ apis, models }) => ({ api: apis, models }));
      const endpoint = body.data.endpoint ?? promptEndpointOf(serving, body.data.model);
      const inline = tasksOfPrompts(text, body.data, endpoint);
      return asked(body.data, endpoint, headers, inline, { shared: true, all });
    }
    case "requests": {
      const body = parseInput(aroundRequests, json);
      if (!body.success) return invalid(body.error, json);
      const inline = tasksOfRequests(text, body.data);
      return asked(body.data, body.data.endpoint, headers, inline, { shared: false, all });
    }
    default: {
      const body = parseInput(fromFile, json);
      if (!body.success) return invalid(body.error, json);
      const { endpoint, input_file_id } = body.data;
      const callHeaders = callHeadersOf(headers, endpoint);
      if (!callHeaders.ok) return callHeaders;
      return ok({
        endpoint,
        callHeaders: callHeaders.value,
        announced: null,
        options: body.data,
        inputFileId: input_file_id,
        tasks: null,
        shared: false,
      });
    }
  }
}

function invalid(error: z.ZodError, json: object): Result<never> {
  const { param, message, reason } = describeIssue(error, json);
  return refuse("invalid_request", message, param, reason);
}

function asked(
  options: Asked["options"],
  endpoint: Endpoint,
  headers: Headers,
  inline: Inline,
  { shared, all }: { shared: boolean; all: boolean },
): Result<Asked> {
  const callHeaders = callHeadersOf(headers, endpoint);
  if (!callHeaders.ok) return callHeaders;
  const tooLarge = !inline.ok && inline.faults[0]?.code === "too_large";
  if (inline.ok || (all && !tooLarge)) {
    return ok({
      ...(!inline.ok && { wrong: inline }),
      endpoint,
      callHeaders: callHeaders.value,
      announced: null,
      options,
      inputFileId: null,
      tasks: inline.tasks,
      shared,
    });
  }
  const [first, ...others] = inline.faults;
  if (first?.code === "too_large") {
    return refuse("too_large", `${first.message} ${USE_A_FILE}`, first.param ?? undefined);
  }
  const count = others.length + inline.others;
  const least = count + 1 < MAX_FAULTS ? "" : "at least ";
  const more = count === 0 ? "" : ` (and ${least}${count} more)`;
  return refuse(
    "invalid_request",
    `${first?.message ?? "The tasks are not valid."}${more}`,
    first?.param ?? undefined,
    first?.code,
  );
}
