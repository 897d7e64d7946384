import { expect, test } from "vitest";
import { checkAnswers } from "../../src/cli/check-answers.ts";
import { promptDigest } from "../../src/simulator/index.ts";
import type { Summary } from "../../src/wire/results.ts";

const prompts = ["One?", "二？", "Three?"];

function answer(index: number, prompt = prompts[index] ?? ""): Summary["success"][number] {
  const body = { messages: [{ role: "user", content: prompt }] };
  const content = `digest:${promptDigest("/v1/chat/completions", body)} So it is.`;
  return { task_id: `task-${index}`, content, usage: null, status: "success" };
}

function summary(change: Partial<Summary> = {}): Summary {
  const success = [answer(0), answer(1), answer(2)];
  return { success, errors: [], total: 3, success_count: 3, error_count: 0, ...change };
}

test("one outcome for each, each its own", () => {
  expect(checkAnswers(prompts, summary())).toEqual([]);
  const errors = [{ task_id: "task-1", error: "no", retry: false }];
  const mixed = { success: [answer(0), answer(2)], errors, success_count: 2, error_count: 1 };
  expect(checkAnswers(prompts, summary(mixed))).toEqual([]);
});

test.each<[string, Partial<Summary>, RegExp]>([
  ["another total", { total: 4 }, /total is 4/],
  ["counts that are not the total", { success_count: 2 }, /are not total 3/],
  ["fewer results than counted", { success: [answer(0), answer(1)] }, /task-2 has 0 outcomes/],
  ["two outcomes for one", { success: [answer(0), answer(1), answer(1)] }, /task-1 has 2/],
  ["an answer that was not asked for", { success: [answer(0), answer(1), answer(7)] }, /task-7/],
  [
    "an answer under another's id",
    { success: [answer(0, "二？"), answer(1, "One?"), answer(2)] },
    /task-0 belongs to another/,
  ],
])("%s is found", (_, change, problem) => {
  expect(checkAnswers(prompts, summary(change)).join("\n")).toMatch(problem);
});
