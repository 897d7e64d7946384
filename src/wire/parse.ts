import { z } from "zod";

/**
 * How much of a list is checked at once. zod gathers every fault of what it is given, which takes
 * seconds for a million of them, in which nobody else is served; here the first ones end it.
 */
const AT_ONCE = 1_000;
/** The same when all there is proves too many for zod, and its first thousand are right. */
const LOOKED_AT = [10_000, 100_000];

/**
 * As the schema's own `safeParse`, for a value that comes from outside: one with a million faults is
 * refused by its first ones, and `metadata` with a `__proto__`, which zod would leave out without a
 * word, by that.
 */
export function parseInput<T extends z.ZodType>(
  schema: T,
  value: unknown,
): z.ZodSafeParseResult<z.output<T>> {
  if (hasOwn(value, "metadata") && hasOwn(value.metadata, "__proto__")) {
    return refused(["metadata", "__proto__"], "not taken as a key");
  }
  const list = longList(schema, value);
  if (list === undefined) return parseWhole(schema, value);
  const { key, elements } = list;
  const begun = parseWhole(schema, { ...Object(value), [key]: elements.slice(0, AT_ONCE) });
  if (!begun.success) return begun;
  const whole = (begun.data as Record<string, unknown[]>)[key] ?? [];
  for (let from = AT_ONCE; from < elements.length; from += AT_ONCE) {
    const next = list.schema.safeParse(elements.slice(from, from + AT_ONCE));
    if (!next.success) return behind(next.error, key, from);
    for (const element of next.data) whole.push(element);
  }
  return begun;
}

/** A member of the value that the schema has a list for, and that is longer than is checked at once. */
function longList(schema: z.ZodType, value: unknown) {
  if (!(schema instanceof z.ZodObject)) return undefined;
  for (const [key, member] of Object.entries(schema.shape)) {
    if (!(member instanceof z.ZodArray) || !hasOwn(value, key)) continue;
    const elements: unknown = value[key];
    if (Array.isArray(elements) && elements.length > AT_ONCE) {
      return { key, elements: elements as unknown[], schema: member };
    }
  }
  return undefined;
}

/** Faults of a part of a list, by their places in all of it. */
function behind(error: z.ZodError, key: string, from: number): z.ZodSafeParseError<never> {
  const issues = error.issues.map((issue) => {
    const [index, ...rest] = issue.path;
    return { ...issue, path: [key, from + Number(index), ...rest] };
  });
  return { success: false, error: new z.ZodError(issues) as z.ZodError<never> };
}

function parseWhole<T extends z.ZodType>(
  schema: T,
  value: unknown,
): z.ZodSafeParseResult<z.output<T>> {
  if (isWide(value)) {
    const begun = schema.safeParse(beginningOf(value, AT_ONCE));
    if (!begun.success) return begun;
  }
  try {
    return schema.safeParse(value);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  for (const most of LOOKED_AT) {
    try {
      const parsed = schema.safeParse(beginningOf(value, most));
      if (!parsed.success) return parsed;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return refused([], "wrong in too many places");
}

/** Whether one of its members is an object with more members than are checked at once. */
function isWide(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some(
    (member) =>
      typeof member === "object" && member !== null && Object.keys(member).length > AT_ONCE,
  );
}

/** An object with the first so many elements and members of what it holds. */
function beginningOf(value: unknown, most: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([key, member]: [string, unknown]) => {
    if (Array.isArray(member)) return [key, member.slice(0, most)];
    if (typeof member !== "object" || member === null) return [key, member];
    // Not the entries, of which a hundred thousand take long to list.
    const keys = Object.keys(member).slice(0, most) as (keyof typeof member)[];
    return [key, Object.fromEntries(keys.map((name) => [name, member[name]]))];
  });
  return Object.fromEntries(members);
}

function hasOwn<K extends string>(value: unknown, key: K): value is Record<K, unknown> {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key);
}

function refused(path: PropertyKey[], message: string): z.ZodSafeParseError<never> {
  const issue = { code: "custom" as const, path, message, input: undefined };
  return { success: false, error: new z.ZodError([issue]) as z.ZodError<never> };
}
