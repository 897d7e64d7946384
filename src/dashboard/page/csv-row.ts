import { readContent } from "../../core/content.ts";
import { csvCell } from "../../core/csv-cell.ts";
import { errorMessage } from "../../core/outcome.ts";
import type { OutputLine } from "../../wire/results.ts";

/** A row of CSV out of an output line. */
export function rowOf(text: string, endpoint: string): string {
  if (text === "") return "";
  const { custom_id, response, error } = JSON.parse(text) as OutputLine;
  const good = response !== null && response.status_code < 300;
  const answer = good ? readContent(endpoint, response.body) : "";
  const content = typeof answer === "string" ? answer : JSON.stringify(answer);
  const why = good ? "" : (error?.message ?? errorMessage(response?.body) ?? "failed");
  return `${[custom_id, good ? "succeeded" : "failed", content, why].map(csvCell).join(",")}\r\n`;
}
