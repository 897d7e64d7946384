import { expect, it } from "vitest";
import { checkAnswers } from "./check.ts";
import { digestOf } from "./drawn.ts";

const prompts = ["one", "two", "three"];
const right = (index: number) => ({ index, text: `digest:${digestOf(prompts[index] ?? "")} yes` });

it("finds nothing wrong with the right answers, in any order", () => {
  expect(checkAnswers(prompts, [right(2), right(0), right(1)])).toEqual({ lost: 0, wrong: 0 });
});

it("counts prompts without an answer, failed or absent, as lost", () => {
  const answers = [right(0), { index: 1, text: undefined }];
  expect(checkAnswers(prompts, answers)).toEqual({ lost: 2, wrong: 0 });
});

it("counts another prompt's answer as wrong", () => {
  const answers = [right(0), right(1), { ...right(1), index: 2 }];
  expect(checkAnswers(prompts, answers)).toEqual({ lost: 0, wrong: 1 });
});

it("counts a second answer, and one to a prompt that was never sent, as wrong", () => {
  const answers = [right(0), right(0), right(1), right(2), { index: 3, text: "digest:0" }];
  expect(checkAnswers(prompts, answers)).toEqual({ lost: 0, wrong: 2 });
});
