import { expect, test } from "vitest";
import { questions } from "../../src/cli/questions.ts";

test("English and Japanese by turns, the Japanese with its five choices", () => {
  const [english, japanese, ...others] = questions(300);
  expect(others).toHaveLength(298);
  expect(english).toContain("ducks lay 16 eggs per day");
  expect(japanese).toMatch(/？\n1\. 掲示板\n2\. .+\n3\. .+\n4\. .+\n5\. .+\n/);
});

test.each([0, 1, 2438, 6000])("%i questions, all different", (count) => {
  const prompts = questions(count);
  expect(prompts).toHaveLength(count);
  expect(new Set(prompts).size).toBe(count);
  expect(prompts.every((prompt) => prompt.length > 10)).toBe(true);
});
