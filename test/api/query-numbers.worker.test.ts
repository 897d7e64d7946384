import { describe, expect, it } from "vitest";
import { ADMIN_KEY, call, DEFAULT_KEY } from "../support/worker/client.ts";

interface Parameter {
  in: string;
  name: string;
  schema: { type?: string; minimum?: number; maximum?: number };
}
type Document = { paths: Record<string, Record<string, { parameters?: Parameter[] }>> };

/** Every number that a query takes, by what the OpenAPI document says of it. */
const document: Document = await (await call("/openapi.json")).json();
const numbers = Object.entries(document.paths).flatMap(([path, { get }]) =>
  (get?.parameters ?? [])
    .filter((parameter) => parameter.in === "query" && parameter.schema.type === "integer")
    .map(({ name, schema: { minimum = Number.NaN, maximum = Number.NaN } }) => ({
      path: path.replace("{id}", `batch_${"0".repeat(32)}`).replace("{project_id}", "default"),
      name,
      minimum,
      maximum,
    })),
);

async function answerTo(path: string, name: string, text: string | number) {
  const key = path.startsWith("/v1/organization/") ? ADMIN_KEY : DEFAULT_KEY;
  const response = await call(`${path}?${name}=${encodeURIComponent(text)}`, {}, key);
  return { status: response.status, text: await response.text() };
}

/** Other ways to write a number that is taken, and what is none. */
const WRONG = [
  ...["", " ", "abc", "NaN", "Infinity", "null", "-0", "1e2", "0x64", "１００"],
  ...[" 100", "100 ", "+100", "0100", "100.0", "100.5", "1_00", "100&"],
];

it("the document names the numbers of queries", () => {
  expect(numbers.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["limit", "step_ms", "after"]),
  );
  expect(numbers.length).toBeGreaterThanOrEqual(10);
});

describe.each(numbers)("$name of $path", ({ path, name, minimum, maximum }) => {
  it("takes both of its bounds", async () => {
    for (const bound of [minimum, maximum]) {
      const { status, text } = await answerTo(path, name, bound);
      // There need be no such batch.
      expect([200, 404], text).toContain(status);
    }
  });

  it("takes digits alone, and says so with both bounds whatever is wrong", async () => {
    const takes = `${name}: takes a whole number from ${minimum} to ${maximum}.`;
    for (const wrong of [minimum - 1, maximum + 1, ...WRONG]) {
      const { status, text } = await answerTo(path, name, wrong);
      expect([wrong, status]).toEqual([wrong, 400]);
      expect(JSON.parse(text)).toMatchObject({ error: { message: takes } });
    }
  });
});
