import { digestOf } from "./drawn.ts";
import type { Answer } from "./subject.ts";

/** What is not as it should be among the answers. */
export interface Checked {
  /** Prompts without an answer. */
  lost: number;
  /** Answers that are another prompt's, or second ones. */
  wrong: number;
}

/** Checks each answer against its prompt by the digest that the simulator put into it. */
export function checkAnswers(prompts: readonly string[], answers: readonly Answer[]): Checked {
  const answered = new Set<number>();
  let wrong = 0;
  for (const { index, text } of answers) {
    if (text === undefined) continue;
    const prompt = prompts[index];
    const right = prompt !== undefined && text.includes(`digest:${digestOf(prompt)}`);
    if (!right || answered.has(index)) wrong += 1;
    if (prompt !== undefined) answered.add(index);
  }
  return { lost: prompts.length - answered.size, wrong };
}
