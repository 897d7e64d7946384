import { expect, test } from "vitest";
import { filled, missingColumn } from "../../src/core/template.ts";

test("a template has a row's cells in its places, and nothing else changed", () => {
  const template = "Greet {{ name }} in {{language}}, {{name}}; {not} {{}} this.";
  const cells = { name: "縞馬 $1", language: "日本語" };
  expect(filled(template, cells)).toBe("Greet 縞馬 $1 in 日本語, 縞馬 $1; {not} {{}} this.");
});

test("a column that a table has not is found, the first one", () => {
  expect(missingColumn("{{a}} {{ b }} {{c}}", ["a"])).toBe("b");
  expect(missingColumn("{{a}} none", ["a", "b"])).toBeUndefined();
});
