import type { Stats } from "../simulator/index.ts";
import type { BatchObject } from "../wire/batch.ts";
import type { Summary } from "../wire/results.ts";
import { taskId } from "./check-answers.ts";

/** What a demo ended with. */
export interface Ending {
  prompts: readonly string[];
  summary: Summary;
  usage: BatchObject["usage"];
  /** From the first byte sent to the last result known. */
  wallMs: number;
  /** What the simulator counted. */
  seen: Stats;
}

const SHOWN = 4;
const WIDTH = 76;

/** The end of a demo, for people. */
export function describeEnding(ending: Ending): string {
  const { summary, usage, wallMs, seen } = ending;
  const seconds = wallMs / 1000;
  return [
    `total          ${summary.total}`,
    `success_count  ${summary.success_count}`,
    `error_count    ${summary.error_count}`,
    "",
    ...someAnswers(ending),
    ...someErrors(summary),
    `Wall time ${seconds.toFixed(1)} s, ${(seen.calls / seconds).toFixed(1)} calls a second, ${number(usage.total_tokens)} tokens (${number(usage.input_tokens)} in, ${number(usage.output_tokens)} out).`,
    simulatorSaw(seen),
  ].join("\n");
}

/** One line of a text, at most as many columns wide as given; East Asian letters take two. */
export function shorten(text: string, columns: number): string {
  let line = "";
  let width = 0;
  for (const letter of text.replace(/\s+/g, " ").trim()) {
    width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]/.test(letter)
      ? 2
      : 1;
    if (width > columns - 1) return `${line}…`;
    line += letter;
  }
  return line;
}

function someAnswers({ prompts, summary }: Ending): string[] {
  const answers = new Map(summary.success.map(({ task_id, content }) => [task_id, content]));
  const lines: string[] = [];
  for (let index = 0; index < prompts.length && lines.length < SHOWN * 3; index++) {
    const answer = answers.get(taskId(index));
    if (answer === undefined) continue;
    lines.push(`Q  ${shorten(prompts[index] ?? "", WIDTH)}`);
    lines.push(`A  ${shorten(String(answer), WIDTH)}`, "");
  }
  return lines;
}

function someErrors({ errors }: Summary): string[] {
  const lines = errors
    .slice(0, SHOWN)
    .map(({ task_id, error }) => `${task_id} failed: ${shorten(error, WIDTH)}`);
  return lines.length === 0 ? [] : [...lines, ""];
}

function simulatorSaw({ calls, byStatus, mostInFlight, duplicates }: Stats): string {
  const retried = Object.entries(byStatus)
    .filter(([status]) => status !== "200")
    .map(([status, count]) => `${count} × ${status}`);
  const faults = retried.length === 0 ? "no faults" : `${retried.join(" and ")}, tried again`;
  const twice = duplicates === 0 ? "nothing asked again once answered" : `${duplicates} paid twice`;
  return `The simulator saw ${number(calls)} calls, at most ${mostInFlight} at once; ${faults}; ${twice}.`;
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
