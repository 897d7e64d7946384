import type { Unanswered } from "./outcome.ts";

/** What a call came to: the status it was answered with, or why there is no usable answer. */
export type CallEnd =
  | { kind: "answered"; status: number }
  | { kind: "unanswered"; code: Unanswered };

/** Answers that are of no use, and answers all the same. */
const ALIVE: readonly Unanswered[] = ["invalid_response", "response_too_large"];

/**
 * Whether a call showed that its upstream answers, or that it does not: 5xx, no connection, no answer
 * in time, or one that breaks off. Any other answer is one, 4xx too.
 */
export function signsOf(end: CallEnd): { alive: number; broken: number } {
  const alive = end.kind === "answered" ? end.status < 500 : ALIVE.includes(end.code);
  return alive ? { alive: 1, broken: 0 } : { alive: 0, broken: 1 };
}
