import { describe, expect, test } from "vitest";
import { z } from "zod";
import { parseInput } from "../../src/wire/parse.ts";

let looked = 0;
const number = z.number().transform((a) => {
  looked += 1;
  return a + 1;
});
const element = z.object({ a: number });
const schema = z.looseObject({ list: z.array(element).min(1), name: z.string() });

/** So many elements; `wrong` is one that is none. */
function listOf(count: number, wrong?: number) {
  const list = Array.from({ length: count }, (_, a) => (a === wrong ? { a: "x" } : { a }));
  return { list, name: "n", more: true };
}

describe("a long list", () => {
  test.each([0, 1, 999, 1_000, 1_001, 2_000, 12_345])("is read as zod reads it: %i", (count) => {
    const value = listOf(count);
    const [ours, zods] = [parseInput(schema, value), schema.safeParse(value)];
    expect(ours.data).toEqual(zods.data);
    expect(ours.error?.issues).toEqual(zods.error?.issues);
  });

  test.each([0, 999, 1_000, 4_321, 9_999])(
    "tells the place of what is wrong in it: %i",
    (wrong) => {
      const [issue] = parseInput(schema, listOf(10_000, wrong)).error?.issues ?? [];
      expect(issue).toMatchObject({ code: "invalid_type", path: ["list", wrong, "a"] });
    },
  );

  test("is read no further than to what is wrong", () => {
    looked = 0;
    expect(parseInput(schema, listOf(1_000_000, 1_500)).success).toBe(false);
    expect(looked).toBeLessThan(2_000);
  });

  test("is not read at all when what is beside it is wrong in its own right", () => {
    looked = 0;
    const { error } = parseInput(schema, { ...listOf(1_000_000), name: 7 });
    expect(error?.issues).toMatchObject([{ path: ["name"] }]);
    expect(looked).toBeLessThanOrEqual(1_000);
  });

  test("that is wrong all over is refused by its first thousand", () => {
    const list = Array.from({ length: 1_000_000 }, () => 0);
    const { error } = parseInput(schema, { list, name: "n" });
    expect(error?.issues).toHaveLength(1_000);
  });
});

test("an object of very many wrong members is refused by its first thousand", () => {
  const pairs = z.object({ metadata: z.record(z.string(), z.string()) });
  const metadata = Object.fromEntries(Array.from({ length: 200_000 }, (_, n) => [`k${n}`, n]));
  const { error } = parseInput(pairs, { metadata });
  expect(error?.issues).toHaveLength(1_000);
  expect(error?.issues[0]?.path).toEqual(["metadata", "k0"]);
});
