import { z } from "zod";
import { errorMessage } from "../../core/outcome.ts";
import { objectMembers, rawMember, type Span } from "../../core/raw-json.ts";
import { outputLine } from "../results.ts";
import { type ErrorType, errorTypeOf } from "./error.ts";

/** Lines of results as Anthropic has them, made from the output lines that are kept. */

const errored = z.object({
  type: z.literal("errored"),
  error: z.object({
    type: z.literal("error"),
    /** Not only the types that are known: an upstream's error is passed on as it came. */
    error: z.looseObject({ type: z.string(), message: z.string() }),
    request_id: z.string().nullable(),
  }),
});

export const resultLine = z.object({
  custom_id: z.string(),
  result: z.discriminatedUnion("type", [
    z.object({ type: z.literal("succeeded"), message: z.unknown() }),
    errored,
    z.object({ type: z.literal("canceled") }),
    z.object({ type: z.literal("expired") }),
  ]),
});
export type ResultLine = z.infer<typeof resultLine>;

/**
 * One line of results, of an output line. The upstream's message is spliced in as text, so that
 * numbers past 2^53 and the order of members survive.
 *
 * @param succeeded whether the line is of the output file.
 */
export function resultLineOf(line: string, succeeded: boolean): string {
  const head = `{"custom_id":${memberOf(line, "custom_id")},"result":`;
  if (succeeded) {
    const response = rawMember(line, "response");
    const message = response === undefined ? "null" : memberOf(line, "body", response.start);
    return `${head}{"type":"succeeded","message":${message}}}`;
  }
  return `${head}${JSON.stringify(failureOf(line))}}`;
}

/** The text of a member that an output line always has. */
function memberOf(line: string, key: string, start = 0): string {
  // The first one is it: lines are written by Muster, without duplicates.
  for (const member of objectMembers(line, start)) {
    if (member.key === key) return textOf(line, member);
  }
  throw new Error(`an output line has no ${key}`);
}

function textOf(line: string, { start, end }: Span): string {
  return line.slice(start, end);
}

/** How tasks end without an answer; every other code is an error. */
const CLOSED: Readonly<Record<string, "canceled" | "expired">> = {
  batch_cancelled: "canceled",
  batch_expired: "expired",
};

const CODE_TYPES: Readonly<Record<string, ErrorType>> = {
  timeout: "timeout_error",
  upstream_unauthorized: "authentication_error",
};

function failureOf(line: string): ResultLine["result"] {
  const { response, error } = outputLine.parse(JSON.parse(line));
  if (response === null) {
    const code = error?.code ?? "";
    const closed = CLOSED[code];
    if (closed !== undefined) return { type: closed };
    return {
      type: "errored",
      error: {
        type: "error",
        error: {
          type: CODE_TYPES[code] ?? "api_error",
          message: error?.message ?? "No answer.",
          details: { error_code: code },
        },
        request_id: null,
      },
    };
  }
  const { status_code, request_id, body } = response;
  const told = errored.shape.error.safeParse(body);
  if (told.success) return { type: "errored", error: told.data };
  // Anthropic's shape of earlier days, without a request_id, or an error of some other server.
  const older = errored.shape.error.omit({ request_id: true }).safeParse(body);
  const made = {
    type: errorTypeOf(status_code),
    message: errorMessage(body) ?? `The upstream answered ${status_code}.`,
  };
  return {
    type: "errored",
    error: {
      type: "error",
      error: older.success ? older.data.error : made,
      request_id: request_id === "" ? null : request_id,
    },
  };
}
