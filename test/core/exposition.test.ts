import { describe, expect, test } from "vitest";
import { exposition } from "../../src/core/exposition.ts";

describe("exposition", () => {
  test("gives a metric its help, its type and a line a sample", () => {
    const samples = [
      { labels: { project: "p", state: "pending" }, value: 3 },
      { labels: {}, value: 0.5 },
    ];
    expect(exposition([{ name: "a", type: "gauge", help: "Help.", samples }])).toBe(
      '# HELP a Help.\n# TYPE a gauge\na{project="p",state="pending"} 3\na 0.5\n',
    );
  });

  test("escapes quotes, backslashes and line breaks in labels and help", () => {
    const samples = [{ labels: { model: 'a"b\\c\nd' }, value: 1 }];
    expect(exposition([{ name: "a", type: "counter", help: "x\ny\\", samples }])).toBe(
      '# HELP a x\\ny\\\\\n# TYPE a counter\na{model="a\\"b\\\\c\\nd"} 1\n',
    );
  });

  test("leaves out a metric without samples", () => {
    expect(exposition([{ name: "a", type: "gauge", help: "", samples: [] }])).toBe("");
  });
});
