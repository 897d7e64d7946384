import type { OutcomeRow } from "../batch/store/outcomes.ts";
import { readContent } from "../core/content.ts";
import { errorMessage } from "../core/outcome.ts";
import type { Endpoint } from "../wire/batch.ts";
import type { Failure, OutputLine, Success } from "../wire/results.ts";

/** Output lines as entries of the summary. */

/** An output line, which is stored as it is read. */
export const readLine = (line: string) => JSON.parse(line) as OutputLine;

/** The entry of a task that succeeded. */
export function successOf(endpoint: Endpoint, { line }: Pick<OutcomeRow, "line">): Success {
  const { custom_id, response } = readLine(line);
  const body = response?.body;
  const usage = typeof body === "object" && body !== null && "usage" in body ? body.usage : null;
  return { task_id: custom_id, content: readContent(endpoint, body), usage, status: "success" };
}

/** The entry of a task that did not. */
export function failureOf(row: Pick<OutcomeRow, "line" | "retry">): Failure {
  const { custom_id, response, error } = readLine(row.line);
  const retry = row.retry === 1;
  if (response === null) {
    return { task_id: custom_id, error: error?.message ?? "No answer.", retry };
  }
  const status_code = response.status_code;
  const message = errorMessage(response.body) ?? `The upstream answered ${status_code}.`;
  return { task_id: custom_id, error: message, status_code, retry };
}
