import { readFileSync } from "node:fs";

interface MathsQuestion {
  question: string;
}

interface ChoiceQuestion {
  question: string;
  choice0: string;
  choice1: string;
  choice2: string;
  choice3: string;
  choice4: string;
}

/**
 * Prompts made of real questions, English maths and Japanese five-choice ones by turns. Past the
 * end of both files they come again with a number before them, so that every prompt is different.
 */
export function questions(count: number): string[] {
  const maths = readLines<MathsQuestion>("gsm8k-test.jsonl").map(mathsPrompt);
  const choices = readLines<ChoiceQuestion>("jcommonsenseqa-valid.jsonl").map(choicePrompt);
  const all = byTurns(maths, choices);
  return Array.from({ length: count }, (_, index) => {
    const prompt = all[index % all.length] ?? "";
    const round = Math.floor(index / all.length) + 1;
    return round === 1 ? prompt : `(${round}) ${prompt}`;
  });
}

/** The questions of a file, as they stand in it. */
function readLines<T>(file: string): T[] {
  const text = readFileSync(new URL(`./questions/${file}`, import.meta.url), "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}

function mathsPrompt({ question }: MathsQuestion): string {
  return `${question.trim()}\nGive the number, then the steps that lead to it.`;
}

function choicePrompt(entry: ChoiceQuestion): string {
  const choices = [entry.choice0, entry.choice1, entry.choice2, entry.choice3, entry.choice4];
  const lines = choices.map((choice, index) => `${index + 1}. ${choice}`);
  return [entry.question, ...lines, "正しい選択肢の番号を答えてください。"].join("\n");
}

/** One of each by turns; what is left of the longer list comes last. */
function byTurns(one: readonly string[], other: readonly string[]): string[] {
  const mixed: string[] = [];
  for (let index = 0; index < Math.max(one.length, other.length); index++) {
    for (const prompt of [one[index], other[index]]) {
      if (prompt !== undefined) mixed.push(prompt);
    }
  }
  return mixed;
}
