import { promptDigest } from "../simulator/index.ts";
import type { Summary } from "../wire/results.ts";

/**
 * What is wrong with the results of a batch of prompts that the simulator answered: one line each,
 * none when every prompt has exactly one outcome and every answer belongs to its prompt.
 */
export function checkAnswers(prompts: readonly string[], summary: Summary): string[] {
  const problems: string[] = [];
  const { total, success_count, error_count, success, errors } = summary;
  if (total !== prompts.length) {
    problems.push(`total is ${total}, but ${prompts.length} questions were sent.`);
  }
  if (success_count + error_count !== total) {
    problems.push(
      `success_count ${success_count} and error_count ${error_count} are not total ${total}.`,
    );
  }
  if (success.length !== success_count || errors.length !== error_count) {
    problems.push(
      `There are ${success.length} successes and ${errors.length} errors; the counts say ${success_count} and ${error_count}.`,
    );
  }
  const outcomes = new Map<string, number>();
  for (const { task_id } of [...success, ...errors]) {
    outcomes.set(task_id, (outcomes.get(task_id) ?? 0) + 1);
  }
  const answers = new Map(success.map(({ task_id, content }) => [task_id, content]));
  prompts.forEach((prompt, index) => {
    const id = taskId(index);
    const count = outcomes.get(id) ?? 0;
    outcomes.delete(id);
    if (count !== 1) problems.push(`${id} has ${count} outcomes.`);
    if (answers.has(id) && !String(answers.get(id)).includes(`digest:${digestOf(prompt)}`)) {
      problems.push(`The answer of ${id} belongs to another question.`);
    }
  });
  for (const id of outcomes.keys()) problems.push(`${id} was never sent.`);
  return problems;
}

/** The id Muster gives to the prompt at an index. */
export function taskId(index: number): string {
  return `task-${index}`;
}

function digestOf(prompt: string): string {
  const body = { messages: [{ role: "user", content: prompt }] };
  return promptDigest("/v1/chat/completions", body);
}
