import { isRecord } from "./exact-json.ts";

/**
 * How the parts of a streamed chat message go together. What is not known by name is put together by
 * its kind, so that a provider's own members (`reasoning_content`, `reasoning_details`, …) come out
 * as they would have come in one piece.
 */

/** Texts that name something: a later part repeats or replaces them. Any other text goes on. */
const NAMES = new Set(["id", "type", "role", "name", "format", "mime_type"]);

/**
 * What there is of a message's member, and its next part: together. Null and absent add nothing.
 * Both are the caller's own, and changed: a stream has thousands of parts.
 */
export function accumulate(before: unknown, next: unknown, key = ""): unknown {
  if (next === undefined || next === null) return before ?? next;
  if (Array.isArray(next) || Array.isArray(before)) return goOn(before, next);
  if (typeof before === "string" && typeof next === "string") {
    return NAMES.has(key) ? next || before : before + next;
  }
  if (!isRecord(next)) return next;
  const whole = isRecord(before) ? before : {};
  for (const [name, part] of Object.entries(next)) {
    setOwn(whole, name, accumulate(own(whole, name), part, name));
  }
  return whole;
}

/** A later value of a member that is told whole each time: objects gain members, others change. */
export function replace(before: unknown, next: unknown): unknown {
  if (next === undefined || next === null) return before ?? next;
  return isRecord(before) && isRecord(next) ? { ...before, ...next } : next;
}

/** A member, whatever its name: `__proto__` is only a name in JSON. */
export function own(target: object, name: string): unknown {
  return Object.getOwnPropertyDescriptor(target, name)?.value;
}

/** Sets a member, whatever its name. */
export function setOwn(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== "__proto__") target[name] = value;
  else Object.defineProperty(target, name, { value, enumerable: true, writable: true });
}

/**
 * Makes every text in a value one piece in memory. A text that grew by parts is kept by V8 as all of
 * them, at ten times its size; a regular expression wants it whole. The value stays the same.
 */
export function compact(value: unknown): void {
  if (typeof value === "string") /^$/.test(value);
  else if (typeof value === "object" && value !== null) Object.values(value).forEach(compact);
}

/** A list goes on: parts of an element that is there (by its index) go to it, others behind it. */
function goOn(before: unknown, next: unknown): unknown[] {
  const whole = Array.isArray(before) ? before : asParts(before);
  for (const part of asParts(next)) {
    const at = placeOf(whole, part);
    if (at === -1) whole.push(isRecord(part) ? accumulate(undefined, part) : part);
    else whole[at] = accumulate(whole[at], part);
  }
  return whole;
}

/** Some providers mix lists of content parts with plain text, which is one more part then. */
function asParts(value: unknown): unknown[] {
  if (value === undefined || value === null || value === "") return [];
  if (Array.isArray(value)) return value;
  return [typeof value === "string" ? { type: "text", text: value } : value];
}

/** Where the element stands that a part belongs to, or -1 for a new one. */
function placeOf(whole: readonly unknown[], part: unknown): number {
  if (!isRecord(part)) return -1;
  const last = whole.length - 1;
  const end = whole[last];
  if (part.index === undefined) {
    // Without an index a part of a call belongs to the last one, unless it begins another.
    return isToolCall(part) && isRecord(end) && isToolCall(end) && !begins(part, end) ? last : -1;
  }
  return whole.findLastIndex(
    (element) => isRecord(element) && element.index === part.index && !begins(part, element),
  );
}

function isToolCall(part: Record<string, unknown>): boolean {
  return isRecord(part.function) || isRecord(part.custom);
}

/** Some providers give all calls the index 0: one with an id and a name of its own is another. */
function begins(part: Record<string, unknown>, element: Record<string, unknown>): boolean {
  const named = [part.function, part.custom].some((kind) => isRecord(kind) && Boolean(kind.name));
  return named && Boolean(part.id) && Boolean(element.id) && part.id !== element.id;
}
