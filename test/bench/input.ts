import { writeFileSync } from "node:fs";
import { questions } from "../../src/cli/questions.ts";
import type { Body } from "./peers/protocol.ts";

/** The model that every workload asks. */
export const MODEL = "gpt-4o-mini";
/** Asked for by every call, so that all can estimate its tokens. */
export const MAX_TOKENS = 200;

/** Prompts, all different: real questions in English and Japanese. */
export function makePrompts(count: number): string[] {
  return questions(count);
}

/** The body of the call for a prompt. */
export function chatBody(prompt: string): Body {
  return { model: MODEL, messages: [{ role: "user", content: prompt }], max_tokens: MAX_TOKENS };
}

/** Writes the prompts as the official batch API wants them: a JSONL file of requests. */
export function writeRequests(path: string, prompts: readonly string[]): void {
  const lines = prompts.map((prompt, index) =>
    JSON.stringify({
      custom_id: `task-${index}`,
      method: "POST",
      url: "/v1/chat/completions",
      body: chatBody(prompt),
    }),
  );
  writeFileSync(path, `${lines.join("\n")}\n`);
}
