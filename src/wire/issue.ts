import type { z } from "zod";
import { quoted } from "../core/quoted.ts";

/** What a schema found wrong: where, a sentence that says so, and OpenAI's code if it has one. */
export interface Issue {
  /** The field as a path, such as `requests[3].body`; "" for the whole. */
  param: string;
  message: string;
  reason: "missing_required_parameter" | "unknown_parameter" | undefined;
}

/**
 * A schema's first issue.
 *
 * @param value what was checked; without it a missing field is not told from a wrong one.
 */
export function describeIssue(error: z.ZodError, value?: unknown): Issue {
  const [issue] = error.issues;
  if (issue === undefined) {
    return { param: "", message: "The body is not valid.", reason: undefined };
  }
  if (issue.code === "unrecognized_keys") {
    const param = pathOf([...issue.path, ...issue.keys.slice(0, 1)]);
    const what = issue.message.startsWith("Unrecognized key") ? "" : sentence(issue.message);
    const message = `Unknown parameter: '${param}'. ${what}`.trim();
    return { param, message, reason: "unknown_parameter" };
  }
  const param = pathOf(issue.path);
  const takes = takesOf(issue);
  if (value !== undefined && param !== "" && isMissing(value, issue.path)) {
    // The schema's own words only say that it was undefined.
    const what = issue.message.startsWith("Invalid input") ? "" : sentence(`it takes ${takes}`);
    const message = `Missing required parameter: '${param}'. ${what}`.trim();
    return { param, message, reason: "missing_required_parameter" };
  }
  const message = `${param || "The body"}: ${takes}.`.replace(/\.\.$/, ".");
  return { param, message, reason: undefined };
}

/** What a field takes: a schema's own words, or zod's without what only its users know. */
function takesOf(issue: z.core.$ZodIssue): string {
  if (issue.code === "too_small" && issue.message.startsWith("Too small")) {
    return `at least ${amount(issue.minimum, issue.origin)}`;
  }
  if (issue.code === "too_big" && issue.message.startsWith("Too big")) {
    return `at most ${amount(issue.maximum, issue.origin)}`;
  }
  if (issue.code === "invalid_value" && issue.message.startsWith("Invalid")) {
    const values = issue.values.map((value) => JSON.stringify(value)).join(", ");
    return issue.values.length === 1 ? `only ${values}` : `one of ${values}`;
  }
  return issue.message
    .replace(/^Invalid (input|option): /, "")
    .replace(/^expected record\b/, "expected object")
    .replace(/^expected int\b/, "expected a whole number");
}

/** Of what a bound is: a number itself, or how many there are of something. */
function amount(bound: number | bigint, origin: string): string {
  const unit = { string: "character", array: "element" }[origin];
  return unit === undefined ? `${bound}` : `${bound} ${unit}${Number(bound) === 1 ? "" : "s"}`;
}

function pathOf(steps: readonly PropertyKey[]): string {
  return steps.reduce<string>(
    (path, step) =>
      typeof step === "number"
        ? `${path}[${step}]`
        : path === ""
          ? quoted(String(step))
          : `${path}.${quoted(String(step))}`,
    "",
  );
}

function isMissing(value: unknown, steps: readonly PropertyKey[]): boolean {
  let at: unknown = value;
  for (const step of steps) {
    if (typeof at !== "object" || at === null) return false;
    at = Object.hasOwn(at, step) ? (at as Record<PropertyKey, unknown>)[step] : undefined;
  }
  return at === undefined;
}

function sentence(words: string): string {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.?]$/.test(text) ? text : `${text}.`;
}
