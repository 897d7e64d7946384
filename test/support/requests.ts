import { readFileSync } from "node:fs";
import { z } from "zod";

/** Input files of batches, and their output files read back, as a client's own code would. */

export const QUESTIONS = new URL("../../src/cli/questions/gsm8k-test.jsonl", import.meta.url);

/** The first questions of the demo's. */
export function questions(count: number): string[] {
  return readFileSync(QUESTIONS, "utf8")
    .split("\n")
    .slice(0, count)
    .map((line) => z.object({ question: z.string() }).parse(JSON.parse(line)).question);
}

/** A line of an input file. */
export function lineOf(
  custom_id: string,
  body: Record<string, unknown>,
  url = "/v1/chat/completions",
) {
  return { custom_id, method: "POST", url, body };
}

/** A line that asks a chat model something. */
export function chatLine(custom_id: string, content: string, model = "gpt-4o-mini") {
  return lineOf(custom_id, { model, messages: [{ role: "user", content }], max_tokens: 60 });
}

export function jsonl(rows: readonly unknown[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

const outputLine = z.strictObject({
  id: z.string(),
  custom_id: z.string(),
  response: z
    .strictObject({
      status_code: z.number(),
      request_id: z.string(),
      body: z.record(z.string(), z.unknown()),
    })
    .nullable(),
  error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
});
export type OutputLine = z.infer<typeof outputLine>;

/** The lines of an output or error file. */
export function readLines(text: string): OutputLine[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => outputLine.parse(JSON.parse(line)));
}
