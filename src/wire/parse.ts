import { z } from "zod";

/**
 * How many of a list's elements are looked at for the first that is wrong, when all of them are too
 * many wrong ones for zod: it gathers every fault, in calls with an argument for each.
 */
const LOOKED_AT = [1_000, 10_000, 100_000];

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

/** An object with the first so many elements and members of what it holds. */
function beginningOf(value: unknown, most: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([key, member]: [string, unknown]) => {
    if (Array.isArray(member)) return [key, member.slice(0, most)];
    if (typeof member !== "object" || member === null) return [key, member];
    return [key, Object.fromEntries(Object.entries(member).slice(0, most))];
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
